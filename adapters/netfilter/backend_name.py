"""Names of the iptables backends (nft, legacy, and ``auto`` for a choice), as users write them."""

from enum import StrEnum


class BackendName(StrEnum):
    """Name of a backend; ``auto`` chooses one by the rules that the Node already has."""

    AUTO = "auto"
    NFT = "nft"
    LEGACY = "legacy"
