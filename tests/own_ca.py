"""A certificate authority as operators have them: made by openssl, in a folder of its own."""
import hashlib
import os
import pathlib
import ssl

from harness import run

CONFIG = """\
[ca]
default_ca=d
[d]
dir={folder}
database={folder}/index.txt
serial={folder}/serial
crlnumber={folder}/crlnumber
new_certs_dir={folder}
certificate={folder}/ca.crt
private_key={folder}/ca.key
default_md=sha256
default_days=365
default_crl_days=7
policy=any
unique_subject=no
[any]
commonName=supplied
[req]
distinguished_name=dn
prompt=no
[dn]
CN=unused
[own]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
[leaf]
basicConstraints=CA:FALSE
keyUsage=digitalSignature
extendedKeyUsage=clientAuth
[list]
authorityKeyIdentifier=keyid
"""


class OwnCa:
    """`key`: what `openssl genpkey` is told."""

    def __init__(self, folder, subject="/O=Acme/CN=Acme devices", key=("EC", "ec_paramgen_curve:P-256")):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.config = self.folder / "ca.cnf"
        self.config.write_text(CONFIG.format(folder=self.folder))
        (self.folder / "index.txt").write_text("")
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "crlnumber").write_text("01\n")
        self.certificate, self.key = self.folder / "ca.crt", self.folder / "ca.key"
        run("openssl", "genpkey", "-algorithm", key[0], "-pkeyopt", key[1], "-out", self.key)
        run("openssl", "req", "-new", "-x509", "-config", self.config, "-extensions", "own", "-key", self.key, "-subj", subject,
            "-days", "3650", "-out", self.certificate)

    @property
    def pem(self):
        return self.certificate.read_text()

    @property
    def id(self):
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.pem)).hexdigest()

    def issue(self, name, devices=None, serial=None):
        """Its certificate's path; with `devices` also cert.pem and key.pem in the folder of that device, as clients want them."""
        if serial is not None:
            (self.folder / "serial").write_text(serial + "\n")
        key, request, certificate = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
        run("openssl", "req", "-new", "-config", self.config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        run("openssl", "ca", "-batch", "-notext", "-config", self.config, "-extensions", "leaf", "-in", request,
            "-out", certificate)
        if devices is not None:
            (devices / name).mkdir(parents=True)
            (devices / name / "cert.pem").write_text(certificate.read_text())
            (devices / name / "key.pem").write_text(key.read_text())
        return certificate

    def revoke(self, name, *more):
        run("openssl", "ca", "-config", self.config, "-revoke", self.folder / f"{name}.crt", *more)

    def publish_crl(self, path, *more):
        """As a cron job does it: whole, in place of the old one."""
        made = self.folder / "new.crl"
        run("openssl", "ca", "-gencrl", "-config", self.config, "-crlexts", "list", *(more or ("-crldays", "7")), "-out", made)
        beside = path.with_suffix(".new")
        beside.write_bytes(made.read_bytes())
        os.replace(beside, path)
