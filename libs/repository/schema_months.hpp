// PostgreSQL only: what grows is kept in parts of a month each, the violation events and the audit log. Owners:
// violation_repository, audit_repository, which know nothing of it. SQLite has them whole.
//
// fleetward_tend(now_ms), which the store calls when it starts and every few hours, makes the parts of this month and
// the two after it, and lets parts go that are over and empty. What belongs to no part is in the rest.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_months = R"(
ALTER TABLE violation_events RENAME TO violation_events_whole;
CREATE TABLE violation_events(
  id TEXT NOT NULL, violation_id TEXT NOT NULL, type TEXT NOT NULL, thing TEXT NOT NULL, profile TEXT NOT NULL,
  behavior TEXT NOT NULL, criteria TEXT NOT NULL, suppressed BIGINT NOT NULL, time_ms BIGINT NOT NULL,
  body TEXT NOT NULL, PRIMARY KEY(id, time_ms)) PARTITION BY RANGE(time_ms);
CREATE TABLE violation_events_rest PARTITION OF violation_events DEFAULT;
INSERT INTO violation_events SELECT * FROM violation_events_whole;
DROP TABLE violation_events_whole;
CREATE INDEX violation_events_time ON violation_events(time_ms, id);
CREATE INDEX violation_events_thing ON violation_events(thing, time_ms, id);
CREATE INDEX violation_events_violation ON violation_events(violation_id);
ALTER TABLE audit_log RENAME TO audit_log_whole;
CREATE TABLE audit_log(
  id BIGINT GENERATED ALWAYS AS IDENTITY, at_ms BIGINT NOT NULL, actor TEXT NOT NULL, operation TEXT NOT NULL,
  target TEXT NOT NULL, request_id TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY(id, at_ms))
  PARTITION BY RANGE(at_ms);
CREATE TABLE audit_log_rest PARTITION OF audit_log DEFAULT;
INSERT INTO audit_log OVERRIDING SYSTEM VALUE SELECT * FROM audit_log_whole;
SELECT setval(pg_get_serial_sequence('audit_log', 'id'), (SELECT COALESCE(max(id), 0) + 1 FROM audit_log), false);
DROP TABLE audit_log_whole;
CREATE FUNCTION fleetward_tend(now_ms BIGINT) RETURNS BIGINT LANGUAGE plpgsql SECURITY DEFINER
  SET search_path FROM CURRENT AS $tend$
DECLARE
  this_month TIMESTAMP := date_trunc('month', to_timestamp(now_ms / 1000) AT TIME ZONE 'UTC');
  month TIMESTAMP;
  part RECORD;
  is_used BOOLEAN;
  changes BIGINT := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(7378697629);
  FOR part IN SELECT * FROM (VALUES ('violation_events', 'time_ms'), ('audit_log', 'at_ms')) AS t(whole, clock) LOOP
    FOR i IN 0..2 LOOP
      month := this_month + make_interval(months => i);
      CONTINUE WHEN to_regclass(part.whole || to_char(month, '_YYYY_MM')) IS NOT NULL;
      EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I >= $1 AND %I < $2)', part.whole || '_rest', part.clock,
        part.clock) INTO is_used USING (extract(epoch FROM month) * 1000)::bigint,
        (extract(epoch FROM month + interval '1 month') * 1000)::bigint;
      CONTINUE WHEN is_used;
      EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)',
        part.whole || to_char(month, '_YYYY_MM'), part.whole, (extract(epoch FROM month) * 1000)::bigint,
        (extract(epoch FROM month + interval '1 month') * 1000)::bigint);
      changes := changes + 1;
    END LOOP;
  END LOOP;
  FOR part IN SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent IN ('violation_events'::regclass, 'audit_log'::regclass) AND
      to_date(substring(c.relname FROM '_([0-9]{4}_[0-9]{2})$'), 'YYYY_MM') < this_month - interval '1 month' LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', part.name) INTO is_used;
    CONTINUE WHEN is_used;
    EXECUTE format('DROP TABLE %I', part.name);
    changes := changes + 1;
  END LOOP;
  RETURN changes;
END $tend$;
)";

}  // namespace fleetward::repository
