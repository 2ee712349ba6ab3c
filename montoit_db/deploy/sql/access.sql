-- Who is a member of the API's roles; triggers that are not ours on our tables; grants that a role has given on. Members are
-- the platform's own (Supabase has authenticator, postgres and supabase_*) or trusted anyway, or they are named.
with ours as (
    select pg_class.oid, relname, relowner, relacl
    from pg_catalog.pg_class
    join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
    where nspname = 'public' and relkind in ('r', 'p') and relname in (
        'feature_flags', 'feature_flag_history', 'feature_flag_overrides', 'api_keys',
        'payment_logs', 'sms_logs', 'whatsapp_logs'
    )
),
given_on as (
    select format('%s sur %s, de %s à %s', privilege_type, relname, grantor::regrole,
                  case grantee when 0 then 'public' else grantee::regrole::text end) as told,
        format('revoke all on table public.%I from %s cascade;', relname, grantor::regrole) as remedy
    from ours
    cross join aclexplode(relacl)
    where grantor <> relowner
    union all
    select format('%s (%s) sur %s, de %s à %s', privilege_type, attname, relname, grantor::regrole,
                  case grantee when 0 then 'public' else grantee::regrole::text end),
        format('revoke all (%I) on table public.%I from %s cascade;', attname, relname, grantor::regrole)
    from ours
    join pg_catalog.pg_attribute on attrelid = ours.oid
    cross join aclexplode(attacl)
    where grantor <> relowner
    union all
    select format('%s sur %s, de %s à %s', privilege_type, pg_proc.oid::regprocedure, grantor::regrole,
                  case grantee when 0 then 'public' else grantee::regrole::text end),
        format('revoke all on function %s from %s cascade;', pg_proc.oid::regprocedure, grantor::regrole)
    from pg_catalog.pg_proc
    join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
    cross join aclexplode(proacl)
    where nspname = 'public' and grantor <> proowner
      and proname in ('check_feature_flag', 'check_feature_flags', 'get_api_keys', 'log_api_usage')
)
select
    (
        select string_agg(format('%s : %s', role, members), ' ; ' order by role)
        from (
            select api.rolname as role, string_agg(quote_ident(member.rolname), ', ' order by member.rolname) as members
            from pg_catalog.pg_roles as api
            join pg_catalog.pg_roles as member on pg_has_role(member.oid, api.oid, 'member')
            where api.rolname in ('anon', 'authenticated', 'service_role')
              and member.rolname not in ('anon', 'authenticated', 'service_role', 'authenticator', 'postgres', current_user)
              and member.rolname not like 'supabase\_%' and not member.rolsuper
              and member.oid <> (select datdba from pg_catalog.pg_database where datname = current_database())
            group by api.rolname
        ) as memberships
    ) as members,
    (
        select string_agg(format('%s sur %s (fonction %s, de %s)', tgname, relname, tgfoid::regprocedure,
                                 pg_get_userbyid(proowner)), ' ; ' order by relname, tgname)
        from ours
        join pg_catalog.pg_trigger on tgrelid = ours.oid
        join pg_catalog.pg_proc on pg_proc.oid = tgfoid
        join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
        where not tgisinternal and nspname <> 'montoit'
    ) as triggers,
    (select string_agg(told, ' ; ' order by told) from given_on) as given_on,
    (select string_agg(distinct remedy, ' ') from given_on) as revokes
