"""Names of backends, as users write them in options and in the configuration."""

from enum import StrEnum


class BackendName(StrEnum):
    """Backend that writes the rules; ``auto`` chooses one by the rules that a node has."""

    AUTO = "auto"
    NFT = "nft"
    LEGACY = "legacy"
