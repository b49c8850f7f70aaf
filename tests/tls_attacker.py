"""A TLS client that does what Python's own does not offer: key updates and renegotiation as often as one likes. libssl by ctypes;
the socket stays the caller's."""
import ctypes
import ctypes.util
import socket

_ssl = ctypes.CDLL(ctypes.util.find_library("ssl") or "libssl.so.3")
for _name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
    getattr(_ssl, _name).restype = ctypes.c_void_p
PEM, CTRL_MIN, CTRL_MAX, TLS_1_2, TLS_1_3, UPDATE_REQUESTED = 1, 123, 124, 0x0303, 0x0304, 1


class TlsAttacker:
    """Connected, with the device's certificate. The server's is not checked: an attacker would not."""

    def __init__(self, raw: socket.socket, folder, version=TLS_1_3):
        raw.settimeout(None)  # libssl reads and writes the descriptor itself
        self.raw = raw
        self.context = ctypes.c_void_p(_ssl.SSL_CTX_new(ctypes.c_void_p(_ssl.TLS_client_method())))
        for bound in (CTRL_MIN, CTRL_MAX):
            assert _ssl.SSL_CTX_ctrl(self.context, bound, ctypes.c_long(version), None) == 1
        assert _ssl.SSL_CTX_use_certificate_file(self.context, str(folder / "cert.pem").encode(), PEM) == 1
        assert _ssl.SSL_CTX_use_PrivateKey_file(self.context, str(folder / "key.pem").encode(), PEM) == 1
        self.ssl = ctypes.c_void_p(_ssl.SSL_new(self.context))
        assert _ssl.SSL_set_fd(self.ssl, raw.fileno()) == 1
        assert _ssl.SSL_connect(self.ssl) == 1, "no handshake"

    def update_keys(self, times):
        """How many it got through before the server had enough. Each asks the server to change its own, too."""
        for done in range(times):
            if _ssl.SSL_key_update(self.ssl, UPDATE_REQUESTED) != 1 or _ssl.SSL_do_handshake(self.ssl) != 1:
                return done
        return times

    def renegotiate(self):
        """Whether the server agreed to another handshake."""
        if _ssl.SSL_renegotiate(self.ssl) != 1:
            return False
        if _ssl.SSL_do_handshake(self.ssl) != 1:
            return False
        return self.read() is not None and _ssl.SSL_renegotiate_pending(self.ssl) == 0

    def write(self, data):
        return _ssl.SSL_write(self.ssl, data, len(data)) == len(data)

    def read(self):
        """None: an error or the end."""
        buffer = ctypes.create_string_buffer(4096)
        n = _ssl.SSL_read(self.ssl, buffer, len(buffer))
        return buffer.raw[:n] if n > 0 else None

    def close(self):
        self.raw.close()
        _ssl.SSL_free(self.ssl)
        _ssl.SSL_CTX_free(self.context)
