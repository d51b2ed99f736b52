"""The commands of `osteon`. `osteon.cli` puts them together."""
