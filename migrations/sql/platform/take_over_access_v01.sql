-- Ends the access that the platform gave to adopted tables (policies, functions, grants, row level security), and notes how
-- to bring it back. The platform's functions are replaced also if their table is missing.
create or replace function montoit.take_over_access(variadic names text[])
returns void
language plpgsql
set search_path = ''
as $$
declare
    part record;
    administrators text;
begin
    for part in
        select table_name, object, ends, restores, told
        from (
            with tables as (
                select oid, relname::text as table_name, relowner, relacl, relrowsecurity, relforcerowsecurity
                from pg_catalog.pg_class
                where relnamespace = 'public'::regnamespace and relname = any (names)
                  and relname in (select adopted.table_name from montoit.adopted_tables as adopted)
            ),
            functions as (
                select
                    case when proname in ('get_api_keys', 'log_api_usage') then 'api_keys' else 'feature_flags' end as table_name,
                    format('%I.%I(%s)', 'public', proname, pg_get_function_identity_arguments(oid)) as signature,
                    format('%s(%s)', proname, oidvectortypes(proargtypes)) as short,
                    -- Replaced in place (create or replace), so that what depends on it stays.
                    (proname, pg_get_function_arguments(oid), pg_get_function_result(oid)) in (
                        ('check_feature_flag', 'flag_key text, user_id uuid DEFAULT NULL::uuid', 'boolean'),
                        ('check_feature_flags', 'user_id uuid DEFAULT NULL::uuid', 'jsonb'),
                        ('get_api_keys', 'service text', 'jsonb')
                    ) as is_replaced,
                    proname, oid, proowner, coalesce(proacl, acldefault('f', proowner)) as acl
                from pg_catalog.pg_proc
                where pronamespace = 'public'::regnamespace and prokind = 'f' and proname = any (
                    case when 'feature_flags' = any (names) then array['check_feature_flag', 'check_feature_flags'] end
                    || case when 'api_keys' = any (names) then array['get_api_keys', 'log_api_usage'] end
                )
            ),
            grants as ( -- in the order in which they were given, so that the restored list is the same
                select
                    table_name, 'table' as kind, format('public.%I', table_name) as object, null as short, '' as columns,
                    acl.grantee, acl.is_grantable, acl.privilege_type, acl.position
                from tables
                cross join aclexplode(coalesce(relacl, acldefault('r', relowner)))
                    with ordinality as acl (grantor, grantee, privilege_type, is_grantable, position)
                where acl.grantee <> relowner
                union all
                select
                    table_name, 'table', format('public.%I', table_name), null, format(' (%I)', attname),
                    acl.grantee, acl.is_grantable, acl.privilege_type, 1000 * attnum + acl.position
                from tables
                join pg_catalog.pg_attribute on attrelid = tables.oid and attacl is not null and not attisdropped
                cross join aclexplode(attacl)
                    with ordinality as acl (grantor, grantee, privilege_type, is_grantable, position)
                where acl.grantee <> relowner
                union all
                select
                    table_name, 'function', signature, short, '', acl.grantee, acl.is_grantable, acl.privilege_type, acl.position
                from functions
                cross join aclexplode(acl) with ordinality as acl (grantor, grantee, privilege_type, is_grantable, position)
                where acl.grantee <> proowner
            ),
            granted as (
                select
                    table_name, kind, object, short,
                    string_agg(distinct role, ', ') as roles,
                    string_agg(
                        format(
                            'grant %s%s on %s %s to %s%s;', privilege_type, columns, kind, object, role,
                            case when is_grantable then ' with grant option' end
                        ),
                        ' ' order by position
                    ) as statements
                from grants
                cross join lateral (
                    select case when grantee = 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end as role
                ) as named
                group by table_name, kind, object, short
            )
            select 1 as step, table_name, 'row level security' as object,
                format('alter table public.%I enable row level security', table_name) as ends,
                format('alter table public.%I disable row level security', table_name) as restores,
                'accès sans règles (row level security était éteinte)' as told
            from tables where not relrowsecurity
            union all
            select 1, table_name, 'forced row level security',
                format('alter table public.%I no force row level security', table_name),
                format('alter table public.%I force row level security', table_name), null
            from tables where relforcerowsecurity
            union all
            select 3, table_name, format('policy %I', polname),
                format('drop policy %I on public.%I', polname, table_name),
                format(
                    'drop policy if exists %1$I on public.%2$I; create policy %1$I on public.%2$I as %3$s for %4$s to %5$s%6$s%7$s',
                    polname, table_name,
                    case when polpermissive then 'permissive' else 'restrictive' end, command, roles,
                    ' using (' || pg_get_expr(polqual, polrelid) || ')',
                    ' with check (' || pg_get_expr(polwithcheck, polrelid) || ')'
                ) || format('; comment on policy %I on public.%I is %L', polname, table_name,
                            obj_description(pg_policy.oid, 'pg_policy')),
                format('règle « %s » (%s pour %s), retirée', polname, command, roles)
            from pg_catalog.pg_policy
            join tables on tables.oid = polrelid
            cross join lateral (
                select
                    case polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
                        else 'all' end as command,
                    (select string_agg(case when role = 0 then 'public' else quote_ident(pg_get_userbyid(role)) end, ', ')
                     from unnest(polroles) as role) as roles
            ) as described
            union all
            select 4, table_name, format('%s %s', case when is_replaced then 'function' else 'dropped function' end, signature),
                case
                    when is_replaced then 'select'
                    when proname = 'log_api_usage' then format(
                        'alter function %s set search_path = public, pg_temp; grant execute on function %1$s to service_role',
                        signature
                    )
                    else format('drop function %s', signature)
                end,
                format(
                    '%s; revoke all on function %s from public, anon, authenticated, service_role; %s', pg_get_functiondef(oid),
                    signature, (select statements from granted where object = signature)
                ) || format(' comment on function %s is %L;', signature, obj_description(oid, 'pg_proc')),
                format('fonction %s, %s', short, case
                    when proname = 'log_api_usage' then 'gardée pour service_role seul'
                    when is_replaced then 'remplacée'
                    else 'retirée'
                end)
            from functions
            union all
            -- Step 0: before the functions of step 4 are replaced, or granted to service_role.
            select case kind when 'function' then 0 else 5 end, table_name, format('grants on %s', object),
                format('revoke all on %s %s from %s', kind, object, roles),
                case kind when 'table' then statements else 'select' end, -- a function's grants come back with it
                format('droits retirés à %s%s', roles, ' sur ' || short) || case
                    when roles !~ '\mservice_role\M' then ''
                    when kind = 'function' then ' ; service_role continue de l''appeler'
                    when table_name = 'feature_flag_history' then ' ; service_role reçoit les nôtres : lire'
                    else ' ; service_role reçoit les nôtres : lire et écrire'
                end
            from granted
        ) as access
        order by table_name, step, object
    loop
        perform montoit.adopt('access', part.table_name, part.object, part.ends, part.restores, part.told);
    end loop;

    -- profiles.user_type no longer makes an administrator, since users write it themselves: names who loses the rights.
    if 'api_keys' = any (names) and to_regclass('public.api_keys') is not null
        and montoit.is_trusted_table('profiles') and 2 = (
        select count(*) from pg_catalog.pg_attribute
        where attrelid = to_regclass('public.profiles') and attname in ('id', 'user_type')
    ) then
        execute $query$
            select string_agg(id::text, ', ' order by id) from public.profiles where user_type::text like 'admin%'
        $query$ into administrators;
        insert into montoit.adoption_steps (stage, table_name, object, undo, told)
        select 'access', 'api_keys', 'administrators', 'select',
               'perdent leurs droits d''administrateur (profiles.user_type) : ' || administrators
        where administrators is not null;
    end if;
end;
$$;
