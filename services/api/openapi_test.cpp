// The table of operations and schemas/openapi/v1.yaml say the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "config/yaml.hpp"
#include "core/text.hpp"
#include "services/api/operations.hpp"

#ifndef FLEETWARD_SOURCE_DIR
#error "the build says where the sources are"
#endif

namespace fleetward::api {
namespace {

using json::Value;

const Value& document() {
  static const Value loaded = [] {
    auto file = config::read_yaml_file(FLEETWARD_SOURCE_DIR "/schemas/openapi/v1.yaml");
    EXPECT_TRUE(file.ok()) << file.error().message;
    return file ? file->value : Value();
  }();
  return loaded;
}

// What a {$ref: "#/…"} stands for.
const Value& resolve(const Value& value) {
  if (!value.is_object() || !value.contains("$ref")) return value;
  const auto pointer = value["$ref"].get<std::string>().substr(1);
  return resolve(document().at(Value::json_pointer(pointer)));
}

struct Described {
  std::string method;
  std::string path;
  std::string right;
  std::map<std::string, const Value*> parameters;  // "in name"
  Value body = Value::object();                    // schema
};

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::map<std::string, Described> described() {
  std::map<std::string, Described> out;
  for (const auto& [path, item] : document()["paths"].items()) {
    for (const auto& [method, operation] : item.items()) {
      if (method == "parameters") continue;
      Described d{upper(method), path, operation.value("x-right", ""), {}, Value::object()};
      for (const Value* list : {item.contains("parameters") ? &item["parameters"] : nullptr,
                                operation.contains("parameters") ? &operation["parameters"] : nullptr}) {
        if (list == nullptr) continue;
        for (const Value& entry : *list) {
          const Value& parameter = resolve(entry);
          d.parameters[parameter["in"].get<std::string>() + " " + parameter["name"].get<std::string>()] = &parameter;
        }
      }
      if (operation.contains("requestBody"))
        d.body = resolve(resolve(operation["requestBody"])["content"]["application/json"]["schema"]);
      const auto id = operation["operationId"].get<std::string>();
      EXPECT_FALSE(out.contains(id)) << id;
      out[id] = std::move(d);
    }
  }
  return out;
}

std::string place(aws::In in) {
  return in == aws::In::path ? "path" : in == aws::In::query ? "query" : in == aws::In::header ? "header" : "body";
}

void expect_same(const aws::Member& m, const Value& schema_or_ref) {
  const Value& schema = resolve(schema_or_ref);
  const std::string type = schema.value("type", "");
  switch (m.kind) {
    case aws::Kind::name:
      EXPECT_EQ(schema.value("pattern", ""), "^[a-zA-Z0-9:_-]{1,128}$");
      break;
    case aws::Kind::text: {
      EXPECT_EQ(type, "string");
      std::vector<std::string> choices;
      if (!m.choices.empty()) {
        for (const auto word : split(m.choices, '|')) choices.emplace_back(word);
        EXPECT_EQ(schema.value("enum", std::vector<std::string>()), choices);
      } else {
        EXPECT_EQ(schema.value("minLength", 0), m.min);
        EXPECT_EQ(schema.value("maxLength", 0), m.max);
      }
      break;
    }
    case aws::Kind::integer:
      EXPECT_EQ(type, "integer");
      EXPECT_EQ(schema.value("minimum", 0), m.min);
      EXPECT_EQ(schema.value("maximum", 0), m.max);
      break;
    case aws::Kind::boolean:
      EXPECT_EQ(type, "boolean");
      break;
    case aws::Kind::timestamp:
    case aws::Kind::any:
      EXPECT_TRUE(type == "array" || type == "object") << type;
      break;
  }
}

TEST(OpenApi, EveryOperationIsDescribedAsItIs) {
  const auto all = described();
  std::set<std::string> in_table;
  for (const Operation& o : all_operations()) {
    if (!o.route.path.starts_with("/v1/")) continue;
    const std::string id(o.route.operation);
    SCOPED_TRACE(id);
    in_table.insert(id);
    ASSERT_TRUE(all.contains(id)) << "not in the document";
    const Described& d = all.at(id);
    EXPECT_EQ(d.method, o.route.method);
    EXPECT_EQ(d.path, o.route.path);
    EXPECT_EQ(d.right, to_string(o.route.right));
    const Value no_properties = Value::object();
    const Value& properties = d.body.contains("properties") ? d.body["properties"] : no_properties;
    const auto required = d.body.value("required", std::vector<std::string>());
    std::set<std::string> members;
    std::size_t parameters = 0;
    for (const aws::Member& m : o.route.members) {
      const std::string name(m.name);
      SCOPED_TRACE(name);
      if (m.in == aws::In::body) {
        members.insert(name);
        ASSERT_TRUE(properties.contains(name));
        EXPECT_EQ(std::find(required.begin(), required.end(), name) != required.end(), m.required);
        expect_same(m, properties[name]);
        continue;
      }
      ++parameters;
      const auto found = d.parameters.find(place(m.in) + " " + name);
      ASSERT_NE(found, d.parameters.end());
      EXPECT_EQ(found->second->value("required", false), m.required);
      expect_same(m, (*found->second)["schema"]);
    }
    EXPECT_EQ(d.parameters.size(), parameters) << "the document has more parameters";
    for (const auto& [name, schema] : properties.items())
      EXPECT_TRUE(members.contains(name)) << name << " is not taken";
    if (!members.empty()) EXPECT_EQ(d.body.value("additionalProperties", true), false);
  }
  for (const auto& [id, d] : all) EXPECT_TRUE(in_table.contains(id)) << id << " is described and not there";
}

TEST(OpenApi, EveryReferenceLeadsSomewhere) {
  std::size_t seen = 0;
  const std::function<void(const Value&)> walk = [&](const Value& value) {
    if (value.is_object() && value.contains("$ref")) {
      ++seen;
      const auto text = value["$ref"].get<std::string>();
      EXPECT_TRUE(text.starts_with("#/") && document().contains(Value::json_pointer(text.substr(1)))) << text;
    }
    if (value.is_structured()) {
      for (const auto& item : value) walk(item);
    }
  };
  walk(document());
  EXPECT_GT(seen, 50U);
}

}  // namespace
}  // namespace fleetward::api
