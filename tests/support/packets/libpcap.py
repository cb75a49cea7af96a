"""libpcap's compiler and interpreter of filters, as the reference for expressions."""

import ctypes
from functools import cache

_RAW = 12
"""DLT_RAW of Linux: packets begin with their IP header."""

_SNAPLEN = 0x40000
_NO_NETMASK = 0xFFFFFFFF


class _Program(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint), ("instructions", ctypes.c_void_p))


class _Header(ctypes.Structure):
    _fields_ = (
        ("seconds", ctypes.c_long),
        ("micros", ctypes.c_long),
        ("captured", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libpcap.so.0.8")
    library.pcap_open_dead.restype = ctypes.c_void_p
    library.pcap_open_dead.argtypes = (ctypes.c_int, ctypes.c_int)
    library.pcap_geterr.restype = ctypes.c_char_p
    library.pcap_geterr.argtypes = (ctypes.c_void_p,)
    library.pcap_compile.argtypes = (
        *(ctypes.c_void_p, ctypes.POINTER(_Program), ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32),
    )
    library.pcap_offline_filter.argtypes = (ctypes.POINTER(_Program), ctypes.POINTER(_Header), ctypes.c_char_p)
    library.pcap_freecode.argtypes = (ctypes.POINTER(_Program),)
    return library


@cache
def _handle() -> int:
    handle: int = _library().pcap_open_dead(_RAW, _SNAPLEN)
    return handle


class Filter:
    """Compiled filter, without optimisation, because the optimiser refuses filters that never match.

    Raises:
        ValueError: libpcap refuses the text; the message is libpcap's.
    """

    def __init__(self, text: str) -> None:
        self._program = _Program()
        if _library().pcap_compile(_handle(), ctypes.byref(self._program), text.encode(), 0, _NO_NETMASK):
            raise ValueError(_library().pcap_geterr(_handle()).decode())

    def __del__(self) -> None:
        _library().pcap_freecode(ctypes.byref(self._program))

    def holds(self, data: bytes) -> bool:
        """Return True if the filter matches a packet."""
        header = _Header(0, 0, len(data), len(data))
        return bool(_library().pcap_offline_filter(ctypes.byref(self._program), ctypes.byref(header), data))


def is_there() -> bool:
    """Return True if the library is installed."""
    try:
        _library()
    except OSError:
        return False
    return True
