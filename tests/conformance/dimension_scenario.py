"""The life of dimensions by a boto3 client, each answer held against the model by the client's checker."""


def run(iot, arn, pages, refused):
    """`arn`, `pages` and `refused` are the test's."""
    made = iot.create_dimension(name="boto:bulk", type="TOPIC_FILTER", stringValues=["data/${iot:ClientId}/#", "a/+/b"],
                                clientRequestToken="first")
    assert made == {**made, "name": "boto:bulk", "arn": arn("dimension", "boto:bulk")}
    again = dict(name="boto:bulk", type="TOPIC_FILTER", stringValues=["data/${iot:ClientId}/#", "a/+/b"])
    assert iot.create_dimension(**again, clientRequestToken="first")["arn"] == made["arn"]
    e = iot.exceptions
    for other in (dict(again, clientRequestToken="second"), dict(again, clientRequestToken="first", stringValues=["x"]),
                  dict(again, clientRequestToken="first", name="boto:other")):
        assert isinstance(refused(iot.create_dimension, **other), e.ResourceAlreadyExistsException)
    for wrong in (["a/#/b"], ["${iot:Connection.Thing.ThingName}"], ["a"] * 101):
        assert isinstance(refused(iot.update_dimension, name="boto:bulk", stringValues=wrong), e.InvalidRequestException)
    described = iot.describe_dimension(name="boto:bulk")
    assert described["type"] == "TOPIC_FILTER" and described["stringValues"] == again["stringValues"]
    changed = iot.update_dimension(name="boto:bulk", stringValues=["data/#"])
    assert changed["stringValues"] == ["data/#"] and changed["creationDate"] == described["creationDate"]
    assert changed["lastModifiedDate"] >= described["lastModifiedDate"]
    for absent in (iot.describe_dimension, lambda **a: iot.update_dimension(stringValues=["x"], **a)):
        assert isinstance(refused(absent, name="nothing"), e.ResourceNotFoundException)

    criteria = {"comparisonOperator": "less-than", "durationSeconds": 300, "value": {"count": 5}}
    behaviors = [{"name": side, "metric": "aws:num-messages-sent", "criteria": criteria,
                  "metricDimension": {"dimensionName": "boto:bulk", "operator": side}} for side in ("IN", "NOT_IN")]
    retained = [{"metric": "aws:message-byte-size", "metricDimension": {"dimensionName": "boto:bulk", "operator": "IN"}}]
    iot.create_security_profile(securityProfileName="boto-bulk", behaviors=behaviors, additionalMetricsToRetainV2=retained)
    kept = iot.describe_security_profile(securityProfileName="boto-bulk")
    assert [b["metricDimension"] for b in kept["behaviors"]] == [b["metricDimension"] for b in behaviors]
    assert kept["additionalMetricsToRetainV2"] == retained
    by_dimension = pages(iot, "list_security_profiles", "securityProfileIdentifiers", dimensionName="boto:bulk")
    assert [p["name"] for p in by_dimension] == ["boto-bulk"]
    assert iot.validate_security_profile_behaviors(behaviors=behaviors)["valid"]
    for wrong in (dict(behaviors[0], metric="aws:num-disconnects"), dict(behaviors[0], metricDimension={"dimensionName": "nothing"})):
        answer = iot.validate_security_profile_behaviors(behaviors=[wrong])
        assert not answer["valid"] and "metricDimension" in answer["validationErrors"][0]["errorMessage"]
    assert isinstance(refused(iot.delete_dimension, name="boto:bulk"), e.InvalidRequestException)
    iot.delete_security_profile(securityProfileName="boto-bulk")
    iot.delete_dimension(name="boto:bulk")
    iot.delete_dimension(name="boto:bulk")

    for i in range(10):
        iot.create_dimension(name=f"d{i}", type="TOPIC_FILTER", stringValues=["a"])
    assert isinstance(refused(iot.create_dimension, name="d10", type="TOPIC_FILTER", stringValues=["a"]), e.LimitExceededException)
    assert pages(iot, "list_dimensions", "dimensionNames") == [f"d{i}" for i in range(10)]
    for i in range(10):
        iot.delete_dimension(name=f"d{i}")
    assert iot.list_dimensions()["dimensionNames"] == []
