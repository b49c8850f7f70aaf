"""The life of an operator's own authority by a boto3 client, each answer held against the model by the client's checker."""
import re

from harness import ACCOUNT
from own_ca import OwnCa


def run(iot, tmp_path, arn, pages, refused):
    """`arn`, `pages` and `refused` are the test's."""
    ca, other = OwnCa(tmp_path / "one", "/CN=Same"), OwnCa(tmp_path / "two", "/CN=Same")
    code = iot.get_registration_code()["registrationCode"]
    assert re.fullmatch("[0-9a-f]{64}", code) and iot.get_registration_code()["registrationCode"] == code
    verification = ca.issue(code).read_text()
    registered = iot.register_ca_certificate(caCertificate=ca.pem, verificationCertificate=verification, setAsActive=True)
    assert registered == dict(registered, certificateId=ca.id, certificateArn=arn("cacert", ca.id))
    iot.register_ca_certificate(caCertificate=other.pem, certificateMode="SNI_ONLY")
    described = iot.describe_ca_certificate(certificateId=ca.id)["certificateDescription"]
    assert described["status"] == "ACTIVE" and described["certificateMode"] == "DEFAULT" and described["ownedBy"] == ACCOUNT
    assert described["autoRegistrationStatus"] == "DISABLE"
    assert described["validity"]["notBefore"] < described["validity"]["notAfter"]
    assert iot.describe_ca_certificate(certificateId=other.id)["certificateDescription"]["status"] == "INACTIVE"
    for more in ("third", "fourth"):
        iot.register_ca_certificate(caCertificate=OwnCa(tmp_path / more).pem, certificateMode="SNI_ONLY")
    everybody = pages(iot, "list_ca_certificates", "certificates")
    assert {c["certificateId"] for c in everybody} >= {ca.id, other.id} and len(everybody) == 4
    backwards = [c["certificateId"] for c in pages(iot, "list_ca_certificates", "certificates", ascendingOrder=False)]
    assert backwards == [c["certificateId"] for c in reversed(everybody)]

    certificates = {}
    for name in ("a", "b", "c"):
        pem = ca.issue(name).read_text()
        made = iot.register_certificate(certificatePem=pem, caCertificatePem=ca.pem, status="ACTIVE")
        certificates[name] = made["certificateId"]
    of_ca = pages(iot, "list_certificates_by_ca", "certificates", caCertificateId=ca.id)
    assert {c["certificateId"] for c in of_ca} == set(certificates.values())
    taken = iot.describe_certificate(certificateId=certificates["a"])["certificateDescription"]
    assert taken["caCertificateId"] == ca.id and taken["status"] == "ACTIVE"
    iot.update_certificate(certificateId=certificates["a"], newStatus="INACTIVE")

    e = iot.exceptions
    not_of_that_one = refused(iot.register_certificate, certificatePem=ca.issue("x").read_text(), caCertificatePem=other.pem)
    assert isinstance(not_of_that_one, e.CertificateValidationException)
    assert isinstance(refused(iot.register_certificate, certificatePem=other.issue("y").read_text()), e.CertificateStateException)
    assert isinstance(refused(iot.register_certificate, certificatePem="no PEM"), e.CertificateValidationException)
    assert isinstance(refused(iot.register_certificate, certificatePem=(ca.folder / "a.crt").read_text()),
                      e.ResourceAlreadyExistsException)
    assert isinstance(refused(iot.register_ca_certificate, caCertificate=ca.pem, certificateMode="SNI_ONLY"),
                      e.ResourceAlreadyExistsException)
    fifth = OwnCa(tmp_path / "fifth")
    another_code = fifth.issue("another").read_text()
    for verified in ({}, {"verificationCertificate": verification}, {"verificationCertificate": another_code}):
        assert isinstance(refused(iot.register_ca_certificate, caCertificate=fifth.pem, **verified),
                          e.RegistrationCodeValidationException)
    assert isinstance(refused(iot.register_ca_certificate, caCertificate=verification, certificateMode="SNI_ONLY"),
                      e.CertificateValidationException)
    for just_in_time in ({"allowAutoRegistration": True}, {"registrationConfig": {"templateName": "x"}}):
        error = refused(iot.register_ca_certificate, caCertificate=fifth.pem, certificateMode="SNI_ONLY", **just_in_time)
        assert isinstance(error, e.InvalidRequestException) and "RegisterCertificate" in str(error)
    assert isinstance(refused(iot.update_ca_certificate, certificateId=ca.id, newAutoRegistrationStatus="ENABLE"),
                      e.InvalidRequestException)

    assert isinstance(refused(iot.delete_ca_certificate, certificateId=ca.id), e.CertificateStateException)
    iot.update_ca_certificate(certificateId=ca.id, newStatus="INACTIVE")
    iot.delete_ca_certificate(certificateId=ca.id)
    assert isinstance(refused(iot.describe_ca_certificate, certificateId=ca.id), e.ResourceNotFoundException)
    assert pages(iot, "list_certificates_by_ca", "certificates", caCertificateId="0" * 64) == []
