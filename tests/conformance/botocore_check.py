"""Holds every answer that a boto3 client gets against botocore's model of the service: no member that the model does not know, each
of the model's type, within its bounds, pattern and enumeration; every error one that the operation declares.

botocore itself is lenient: it drops what it does not know. So this reads the bytes.
"""
import json
import re
from collections import defaultdict

# Errors of the protocol itself, which no operation declares.
OF_THE_PROTOCOL = {"InvalidSignatureException", "UnrecognizedClientException", "AccessDeniedException", "UnknownOperationException",
                   "MissingAuthenticationTokenException", "IncompleteSignatureException"}


class Checker:
    def __init__(self, client):
        self.problems = []
        self.operations = set()  # that succeeded
        self.sent = defaultdict(set)  # members that some answer had, by the name of their structure
        client.meta.events.register("after-call.iot", self._after)

    def _after(self, http_response, parsed, model, **_):
        if http_response.status_code >= 300:
            code = parsed.get("Error", {}).get("Code")
            declared = {shape.name for shape in model.error_shapes}
            if code not in declared | OF_THE_PROTOCOL:
                self._say(f"{model.name}: error {code} ({http_response.status_code}) is not among {sorted(declared)}")
            return
        self.operations.add(model.name)
        body = json.loads(http_response.content) if http_response.content else {}
        if model.output_shape is None:
            if body:
                self._say(f"{model.name}: has no output, but was sent {body}")
            return
        self._check(model.output_shape, body, model.name)

    def _say(self, text):
        self.problems.append(text)

    def _check(self, shape, value, path):
        kind = shape.type_name
        expected = {"structure": dict, "map": dict, "list": list, "string": str, "boolean": bool, "integer": int, "long": int,
                    "double": (int, float), "float": (int, float), "timestamp": (int, float)}[kind]
        if not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
            return self._say(f"{path}: {value!r} is no {kind}")
        if kind == "structure":
            known = {member.serialization.get("name", name): (name, member) for name, member in shape.members.items()}
            for name, inner in value.items():
                if name not in known:
                    self._say(f"{path}: {name} is not in the model")
                    continue
                self.sent[shape.name].add(known[name][0])
                self._check(known[name][1], inner, f"{path}.{name}")
            for name in shape.required_members:
                if name not in value:
                    self._say(f"{path}: {name} is required")
        elif kind == "list":
            for inner in value:
                self._check(shape.member, inner, f"{path}[]")
        elif kind == "map":
            for name, inner in value.items():
                self._check(shape.key, name, f"{path}.key")
                self._check(shape.value, inner, f"{path}{{}}")
        else:
            self._check_bounds(shape, value, path)

    def _check_bounds(self, shape, value, path):
        size = len(value) if isinstance(value, str) else value
        bounds = shape.metadata
        if shape.type_name == "string" and shape.enum and value not in shape.enum:
            self._say(f"{path}: {value!r} is not one of {shape.enum}")
        if "min" in bounds and size < bounds["min"] or "max" in bounds and size > bounds["max"]:
            self._say(f"{path}: {value!r} is out of {bounds}")
        if "pattern" in bounds and not _fits(bounds["pattern"], value):
            self._say(f"{path}: {value!r} does not match {bounds['pattern']}")

    def not_sent(self, model):
        """"Structure.member" for what the structures that answers had could have had, and never did."""
        return {f"{name}.{member}" for name, members in self.sent.items()
                for member in set(model.shape_for(name).members) - members}


def _fits(pattern, value):
    """Java's patterns, whose classes Python lacks."""
    python = pattern.replace(r"\p{Graph}", r"\x21-\x7e").replace(r"\p{Cntrl}", r"\x00-\x1f\x7f")
    assert r"\p" not in python, pattern
    return re.fullmatch(python, value) is not None
