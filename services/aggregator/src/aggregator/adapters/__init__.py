"""The aggregator's ties to Faust, RocksDB and the broker."""
