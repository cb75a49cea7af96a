"""Names of the iptables backends, as users write them in options and in the configuration."""

from enum import StrEnum


class BackendName(StrEnum):
    """Name of a backend; ``auto`` chooses one by the rules that the Node already has."""

    AUTO = "auto"
    NFT = "nft"
    LEGACY = "legacy"
