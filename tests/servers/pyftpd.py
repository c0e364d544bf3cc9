# The pyftpdlib server of the tests: names are bytes as on disk, transfers go to a log of space-separated
# lines (command, offset, bytes, path), and the statements of FTP_EXTRA can change class H.
import os

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer

env = os.environ
Base = FTPHandler if env["FTP_TLS"] == "none" else TLS_FTPHandler
log = os.open(env["FTP_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


class H(Base):
    # Bytes that are not UTF-8 travel as surrogates inside Python and come out unchanged.
    unicode_errors = "surrogateescape"
    use_sendfile = False
    offset = 0

    def push(self, s):
        super().push(Raw(s))

    def ftp_RETR(self, file):
        self.offset = self._restart_position
        return super().ftp_RETR(file)

    def ftp_STOR(self, file, mode="w"):
        self.offset = self._restart_position
        return super().ftp_STOR(file, mode)

    def log_transfer(self, cmd, filename, receive, completed, elapsed, bytes):
        path = filename[len(env["FTP_ROOT"]) :]
        line = "%s %d %d %s\n" % (cmd, self.offset, bytes, path)
        os.write(log, line.encode("utf8", "surrogateescape"))


class Raw(str):
    """A reply whose names keep their bytes."""

    def encode(self, encoding="utf8", errors="strict"):
        return str.encode(self, encoding, "surrogateescape")


if env["FTP_TLS"] != "none":
    H.certfile = env["FTP_CERT"]
    H.tls_control_required = H.tls_data_required = True
if env["FTP_TLS"] == "implicit":

    class Implicit(H):
        def handle(self):
            self.secure_connection(self.get_ssl_context())

        def handle_ssl_established(self):
            FTPHandler.handle(self)

    H = Implicit
auth = DummyAuthorizer()
auth.add_user(env["FTP_USER"], env["FTP_PASS"], env["FTP_ROOT"], perm="elradfmwMT")
H.authorizer = auth
exec(env["FTP_EXTRA"])
FTPServer((env["FTP_HOST"], int(env["FTP_PORT"])), H).serve_forever()
