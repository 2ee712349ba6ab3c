-- For montoit-db check: the access to adopted tables that the upgrade will change (row level security, triggers, policies,
-- functions, grants). `told` is what the upgrade will tell operators of each.
with tables as (
    select oid, relname::text as table_name, relowner, relacl, relrowsecurity
    from pg_catalog.pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname in (
        'feature_flags', 'feature_flag_history', 'feature_flag_overrides', 'api_keys', 'sms_logs', 'whatsapp_logs'
    )
),
functions as (
    select
        case when proname in ('get_api_keys', 'log_api_usage') then 'api_keys' else 'feature_flags' end as table_name,
        format('%s(%s)', proname, oidvectortypes(proargtypes)) as short,
        (proname, pg_get_function_arguments(oid), pg_get_function_result(oid)) in (
            ('check_feature_flag', 'flag_key text, user_id uuid DEFAULT NULL::uuid', 'boolean'),
            ('check_feature_flags', 'user_id uuid DEFAULT NULL::uuid', 'jsonb'),
            ('get_api_keys', 'service text', 'jsonb')
        ) as is_replaced,
        proname, proowner, coalesce(proacl, acldefault('f', proowner)) as acl
    from pg_catalog.pg_proc
    where pronamespace = 'public'::regnamespace and prokind = 'f'
      and proname in ('check_feature_flag', 'check_feature_flags', 'get_api_keys', 'log_api_usage')
),
grants as (
    select table_name, null as short, acl.grantee
    from tables
    cross join aclexplode(coalesce(relacl, acldefault('r', relowner))) as acl
    where acl.grantee <> relowner
    union all
    select table_name, null, acl.grantee
    from tables
    join pg_catalog.pg_attribute on attrelid = tables.oid and attacl is not null and not attisdropped
    cross join aclexplode(attacl) as acl
    where acl.grantee <> relowner
    union all
    select table_name, short, acl.grantee
    from functions
    cross join aclexplode(acl) as acl
    where acl.grantee <> proowner
),
granted as (
    select table_name, short, string_agg(distinct role, ', ') as roles
    from grants
    cross join lateral (
        select case when grantee = 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end as role
    ) as named
    group by table_name, short
)
select table_name, told
from (
    select 1 as step, table_name, 'accès sans règles (row level security était éteinte)' as told
    from tables where not relrowsecurity
    union all
    select 2, table_name, format('déclencheur %s, remplacé', tgname)
    from tables
    join pg_catalog.pg_trigger on tgrelid = tables.oid
    join pg_catalog.pg_proc on pg_proc.oid = tgfoid
    where not tgisinternal and (
        table_name in ('feature_flags', 'whatsapp_logs') and prosrc ~* 'feature_flag_history|new\.updated_at'
        or tgname in ('touch_updated_at', 'record_flag_change')
    )
    union all
    select 2, table_name,
        format('déclencheur %s gardé%s (fonction %s, de %s)', tgname,
               case table_name when 'api_keys' then ' : il verra passer les identifiants InTouch' end,
               tgfoid::regprocedure, pg_get_userbyid(proowner))
    from tables
    join pg_catalog.pg_trigger on tgrelid = tables.oid
    join pg_catalog.pg_proc on pg_proc.oid = tgfoid
    where not tgisinternal and tgname not in ('touch_updated_at', 'record_flag_change') and not (
        table_name in ('feature_flags', 'whatsapp_logs') and prosrc ~* 'feature_flag_history|new\.updated_at'
    )
    union all
    select 3, table_name, format('règle « %s » (%s pour %s), retirée', polname, command, roles)
    from tables
    join pg_catalog.pg_policy on polrelid = tables.oid
    cross join lateral (
        select
            case polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
                else 'all' end as command,
            (select string_agg(case when role = 0 then 'public' else quote_ident(pg_get_userbyid(role)) end, ', ')
             from unnest(polroles) as role) as roles
    ) as described
    union all
    select 4, table_name, format('fonction %s, %s', short, case
        when proname = 'log_api_usage' then 'gardée pour service_role seul'
        when is_replaced then 'remplacée'
        else 'retirée'
    end)
    from functions
    union all
    select case when short is null then 5 else 0 end, table_name, format('droits retirés à %s%s', roles, ' sur ' || short) || case
        when roles !~ '\mservice_role\M' then ''
        when short is not null then ' ; service_role continue de l''appeler'
        when table_name = 'feature_flag_history' then ' ; service_role reçoit les nôtres : lire'
        else ' ; service_role reçoit les nôtres : lire et écrire'
    end
    from granted
) as access
order by table_name, step, told
