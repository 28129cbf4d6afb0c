"""Engines that run networks on what the machine has, behind one port."""
