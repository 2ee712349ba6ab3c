-- Notes which tables are adopted, and what each has: `alembic check` and the revision of the logs' indexes read that.
insert into montoit.adopted_tables (table_name, columns, indexes, constraints)
select
    relname,
    array(select attname::text from pg_catalog.pg_attribute
          where attrelid = pg_class.oid and attnum > 0 and not attisdropped),
    array(select one.relname::text from pg_catalog.pg_index
          join pg_catalog.pg_class as one on one.oid = indexrelid where indrelid = pg_class.oid),
    array(select conname::text from pg_catalog.pg_constraint where conrelid = pg_class.oid)
from pg_catalog.pg_class
where relnamespace = 'public'::regnamespace and relname in (
    'feature_flags', 'feature_flag_history', 'feature_flag_overrides', 'api_keys', 'sms_logs', 'whatsapp_logs'
);
