-- Who may do what in Fleetward's database: one login role for each of Fleetward's roles that has the store, each with
-- what its code does and no more. The history of actions and the audit log can be written by nobody but the owner: rows
-- are added, and never changed.
--
-- Run in that database by its owner, the role that brings the schema up to date, once that has been done; and again after
-- each new version of Fleetward:
--
--   CREATE ROLE fleetward LOGIN;                                     -- the owner, by an administrator
--   CREATE DATABASE fleetward OWNER fleetward TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
--   psql -d fleetward -f deploy/postgres/roles.sql                   -- as an administrator, or as an owner with CREATEROLE
--   \password fleetward_responder                                    -- and so on: none has a password yet
BEGIN;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['fleetward_api', 'fleetward_collector', 'fleetward_historian', 'fleetward_notifier', 'fleetward_pki',
    'fleetward_responder']
  LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', name);
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
  END LOOP;
END $$;

-- Nobody else comes in, and nobody makes tables but the owner.
DO $$ BEGIN EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()); END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public
  TO fleetward_api, fleetward_collector, fleetward_historian, fleetward_notifier, fleetward_pki, fleetward_responder;
-- What an older version granted and this one does not need is taken back.
REVOKE ALL ON ALL TABLES IN SCHEMA public
  FROM fleetward_api, fleetward_collector, fleetward_historian, fleetward_notifier, fleetward_pki, fleetward_responder;

-- All of them: which schema it is; the outbox, and the relay that any of them may be.
GRANT SELECT ON migrations
  TO fleetward_api, fleetward_collector, fleetward_historian, fleetward_notifier, fleetward_pki, fleetward_responder;
GRANT SELECT, INSERT, DELETE ON outbox
  TO fleetward_api, fleetward_collector, fleetward_historian, fleetward_notifier, fleetward_pki, fleetward_responder;
GRANT SELECT, INSERT, UPDATE ON outbox_latest, relay_lease
  TO fleetward_api, fleetward_collector, fleetward_historian, fleetward_notifier, fleetward_pki, fleetward_responder;

-- New months for what is kept by the month: made as the owner, by whoever starts or runs.
REVOKE ALL ON FUNCTION fleetward_tend FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fleetward_tend
  TO fleetward_api, fleetward_collector, fleetward_historian, fleetward_notifier, fleetward_pki, fleetward_responder;

-- Things, groups, profiles, dimensions: the API's. The responder reads them to decide, the collector to
-- know whose report it has.
GRANT SELECT, INSERT, UPDATE, DELETE ON things, thing_groups, thing_group_members, profile_targets, custom_metrics
  TO fleetward_api;
GRANT SELECT, INSERT, UPDATE ON profiles, dimensions, manifest TO fleetward_api;
GRANT SELECT, INSERT ON deleted_things TO fleetward_api;
GRANT SELECT ON things, thing_groups, thing_group_members TO fleetward_responder;
GRANT SELECT ON things TO fleetward_collector;

-- Actions: the responder decides, a person by the API. Their steps are a chain: added to, never changed.
GRANT SELECT, INSERT, UPDATE ON actions, action_chain TO fleetward_responder, fleetward_api;
GRANT SELECT, INSERT ON action_steps TO fleetward_responder, fleetward_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON holds, governor_canaries TO fleetward_responder, fleetward_api;
GRANT SELECT, INSERT, DELETE ON governor_acted, governor_conditions TO fleetward_responder, fleetward_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON governor_hits TO fleetward_responder, fleetward_api;
GRANT SELECT, INSERT ON governor_log TO fleetward_api;
GRANT SELECT, INSERT, DELETE ON governor_log TO fleetward_responder;  -- old lines go
GRANT SELECT ON gateways_gone TO fleetward_responder;
GRANT SELECT, INSERT, UPDATE ON gateways_gone TO fleetward_api;
GRANT SELECT, INSERT, DELETE ON effects TO fleetward_responder, fleetward_notifier;

-- Certificates: the authority signs; the responder and the API ask, attach and revoke.
GRANT SELECT, INSERT, UPDATE ON certificates TO fleetward_pki, fleetward_api;
GRANT SELECT, UPDATE ON certificates TO fleetward_responder;
GRANT SELECT, UPDATE, DELETE ON signing_requests TO fleetward_pki;
GRANT SELECT, INSERT ON signing_requests TO fleetward_responder, fleetward_api;
GRANT SELECT, INSERT, UPDATE ON crl TO fleetward_pki;
GRANT SELECT, UPDATE ON crl TO fleetward_responder, fleetward_api;
GRANT SELECT, UPDATE ON authorities TO fleetward_pki;
GRANT SELECT, INSERT, UPDATE, DELETE ON authorities TO fleetward_api;
GRANT SELECT, INSERT, UPDATE ON authority_revoked TO fleetward_pki;
GRANT SELECT, DELETE ON authority_revoked TO fleetward_api;

-- Violations: the historian keeps them; what people say of them comes by the API.
GRANT SELECT, INSERT, DELETE ON violation_events, violations_active TO fleetward_historian;
GRANT SELECT, DELETE ON violation_verifications TO fleetward_historian;
GRANT SELECT ON violation_events, violations_active TO fleetward_api;
GRANT SELECT, INSERT, UPDATE ON violation_verifications TO fleetward_api;

-- What could not be used: kept by the historian, asked for again by the API, put back by the collector.
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters TO fleetward_historian;
GRANT SELECT, UPDATE ON dead_letters TO fleetward_api, fleetward_collector;

-- Incidents: the notifier's.
GRANT SELECT, INSERT, UPDATE, DELETE ON incidents, incident_members, incident_pages TO fleetward_notifier;
GRANT SELECT ON incidents, incident_members, incident_pages TO fleetward_api;

-- Who changed what: added to by the API, read by the owner.
GRANT INSERT ON audit_log TO fleetward_api;

COMMIT;
