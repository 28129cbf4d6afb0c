import pytest
from tests.contract.broker_contract import BrokerContract

from mesh.memory import InMemoryBroker


class TestInMemoryBroker(BrokerContract):
    @pytest.fixture
    def broker(self) -> InMemoryBroker:
        return InMemoryBroker()
