-- What reads public.api_keys with its owner's rights instead of the caller's, and so past the table's policies: functions
-- that the API's users may execute, views, publications. A function is known by its text: one that puts the table's name
-- together is not found. Before the adoption, the functions that it replaces are left out.
with recursive keys as (
    select pg_class.oid, relowner
    from pg_catalog.pg_class
    join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
    where nspname = 'public' and relname = 'api_keys' and relkind in ('r', 'p')
),
relations as (
    select oid from keys
    union
    select ev_class
    from relations
    join pg_catalog.pg_depend on refclassid = 'pg_catalog.pg_class'::regclass and refobjid = relations.oid
        and classid = 'pg_catalog.pg_rewrite'::regclass
    join pg_catalog.pg_rewrite on pg_rewrite.oid = objid
),
unbound as ( -- the roles whom the policies do not bind
    select pg_roles.oid
    from pg_catalog.pg_roles, keys
    where rolsuper or rolbypassrls or pg_has_role(pg_roles.oid, keys.relowner, 'usage')
)
select format('fonction %s', pg_proc.oid::regprocedure) as reader
from pg_catalog.pg_proc
join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
where prosecdef and proowner in (select oid from unbound)
  and (
      prosrc ~ '\m(api_keys|get_api_keys|read_credentials)\M'
      or exists (
          select from pg_catalog.pg_depend
          where classid = 'pg_catalog.pg_proc'::regclass and objid = pg_proc.oid
            and refclassid = 'pg_catalog.pg_class'::regclass and refobjid in (select oid from relations)
      )
  )
  and exists (
      select from pg_catalog.pg_roles
      where rolname in ('anon', 'authenticated') and has_function_privilege(pg_roles.oid, pg_proc.oid, 'execute')
        and has_schema_privilege(pg_roles.oid, pronamespace, 'usage')
  )
  and not (
      nspname = 'public' and proname in ('get_api_keys', 'log_api_usage')
      and not exists (
          select from pg_catalog.pg_proc as ours
          join pg_catalog.pg_namespace as home on home.oid = ours.pronamespace
          where home.nspname = 'montoit' and ours.proname = 'read_credentials'
      )
  )
union all
select format('%s %s', case relkind when 'v' then 'vue' else 'vue matérialisée' end, relations.oid::regclass)
from relations
join pg_catalog.pg_class on pg_class.oid = relations.oid
where relowner in (select oid from unbound) and (
    relkind = 'm' or relkind = 'v' and not exists (
        select from pg_options_to_table(reloptions)
        where option_name = 'security_invoker' and option_value::boolean
    )
)
union all
select format('publication %s', pubname)
from pg_catalog.pg_publication_tables
where schemaname = 'public' and tablename = 'api_keys'
order by reader
