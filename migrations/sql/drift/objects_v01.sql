-- Every object of ours as it is at this moment, and a statement that makes it so. `compared` is what a drift is recognised by: it
-- reads the same on PostgreSQL 15 to 18, and after a dump and restore. `version` changes when the object is written again, even with
-- the same text; null: the object's own row does not tell.
--
-- Not here, since their owner may tune or add them: storage parameters, statistics, comments, triggers that call others' functions.
create or replace view montoit.objects with (security_invoker = true) as
with names (name) as (
    values
        ('feature_flags'), ('feature_flag_history'), ('feature_flag_overrides'), ('api_keys'), ('payment_logs'), ('sms_logs'),
        ('whatsapp_logs'), ('intouch_prices'), ('intouch_payments_daily'), ('intouch_sms_daily'), ('intouch_whatsapp_daily'),
        ('intouch_costs'), ('intouch_failure_rate'), ('check_feature_flag'), ('check_feature_flags'), ('get_api_keys')
),
relations as (
    select pg_class.oid, format('%I.%I', nspname, relname) as relation, relkind, relowner, relacl, relrowsecurity, relforcerowsecurity,
        reloptions, case relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end as word
    from pg_catalog.pg_class
    join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
    where relkind in ('r', 'p', 'v', 'S')
      and (nspname = 'montoit' or nspname = 'public' and relname in (select name from names))
),
functions as (
    select pg_proc.oid, format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)) as relation,
        proowner, proacl, pg_proc.ctid as version
    from pg_catalog.pg_proc
    join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
    where prokind = 'f' and (nspname = 'montoit' or nspname = 'public' and proname in (select name from names))
),
privileges as (
    select relation, word, relowner as owner, acl.grantee, acl.is_grantable, acl.privilege_type as privilege
    from relations, aclexplode(relacl) as acl
    union all
    select relation, word, relowner, acl.grantee, acl.is_grantable, format('%s (%I)', acl.privilege_type, attname)
    from relations
    join pg_catalog.pg_attribute on attrelid = relations.oid and not attisdropped
    cross join aclexplode(attacl) as acl
    union all
    select relation, 'function', proowner, acl.grantee, acl.is_grantable, acl.privilege_type
    from functions, aclexplode(coalesce(proacl, acldefault('f', proowner))) as acl
    union all
    select 'montoit', 'schema', nspowner, acl.grantee, acl.is_grantable, acl.privilege_type
    from pg_catalog.pg_namespace, aclexplode(nspacl) as acl
    where nspname = 'montoit'
),
owners as (
    select relation, word, relowner as owner from relations
    union all
    select relation, 'function', proowner from functions
),
objects (kind, relation, name, definition, compared, version) as (
    select
        'owner', relation, '', format('alter %s %s owner to %I', word, relation, pg_get_userbyid(owner)),
        -- A restore may give everything to another role.
        case when owner = nspowner then 'the owner of the schema' else pg_get_userbyid(owner)::text end, null::tid
    from owners, pg_catalog.pg_namespace
    where nspname = 'montoit'
    union all
    select
        'grant', relation, roles.grantee,
        format(
            'grant %s on %s %s to %s',
            string_agg(distinct (privilege || case when is_grantable then ' (with grant option)' else '' end) collate "C", ', '),
            word, relation, roles.grantee
        ),
        null, null
    from privileges
    cross join lateral (select case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end) as roles (grantee)
    where privileges.grantee <> owner and privilege <> 'MAINTAIN' -- which PostgreSQL 17 adds to whoever holds all the others
    group by relation, word, roles.grantee
    union all
    select
        'row level security', relation, '',
        format(
            'alter table %s %s row level security, %s row level security', relation,
            case when relrowsecurity then 'enable' else 'disable' end, case when relforcerowsecurity then 'force' else 'no force' end
        ),
        null, null
    from relations where word = 'table'
    union all
    select
        'policy', relation, polname,
        format(
            'create policy %I on %s as %s for %s to %s%s%s', polname, relation,
            case when polpermissive then 'permissive' else 'restrictive' end,
            case polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
            (
                select string_agg(role, ', ' order by role collate "C")
                from unnest(polroles) as id
                cross join lateral (select case id when 0 then 'public' else quote_ident(pg_get_userbyid(id)) end) as named (role)
            ),
            ' using (' || pg_get_expr(polqual, polrelid) || ')', ' with check (' || pg_get_expr(polwithcheck, polrelid) || ')'
        ),
        null, pg_policy.ctid
    from pg_catalog.pg_policy
    join relations on relations.oid = polrelid
    union all
    select
        'column', relation, attname,
        format(
            'alter table %s add column %I %s%s%s', relation, attname, format_type(atttypid, atttypmod),
            case when attnotnull then ' not null' end,
            case
                when attidentity <> '' then ' generated as identity'
                when attgenerated <> '' then format(' generated always as (%s)', pg_get_expr(adbin, adrelid))
                else ' default ' || pg_get_expr(adbin, adrelid)
            end
        ),
        null, null
    from pg_catalog.pg_attribute
    join relations on relations.oid = attrelid and word = 'table'
    left join pg_catalog.pg_attrdef on adrelid = attrelid and adnum = attnum
    where attnum > 0 and not attisdropped
    union all
    select
        'constraint', relation, conname, format('alter table %s add constraint %I %s', relation, conname, text),
        regexp_replace(text, ' NOT VALID$', ''), null -- a script has it validated afterwards
    from pg_catalog.pg_constraint
    join relations on relations.oid = conrelid
    cross join lateral (select pg_get_constraintdef(pg_constraint.oid) offset 0) as shown (text)
    where contype in ('p', 'u', 'c', 'f', 'x') -- not null: PostgreSQL 18 has constraints for it
    union all
    select 'index', relation, index.relname, pg_get_indexdef(index.oid) || case when indisvalid then '' else ' (invalid)' end, null, null
    from pg_catalog.pg_index
    join pg_catalog.pg_class as index on index.oid = indexrelid
    join relations on relations.oid = indrelid
    where not exists (select from pg_catalog.pg_constraint where conindid = indexrelid and contype in ('p', 'u', 'x'))
    union all
    select
        'trigger', relation, tgname,
        pg_get_triggerdef(pg_trigger.oid)
            || case tgenabled
                when 'O' then ''
                else format('; alter table %s %s trigger %I', relation, case tgenabled when 'D' then 'disable' else 'enable' end, tgname)
            end,
        null, pg_trigger.ctid
    from pg_catalog.pg_trigger
    join relations on relations.oid = tgrelid
    where not tgisinternal and tgfoid in (select oid from functions)
    union all
    select 'function', relation, '', pg_get_functiondef(oid), null, version from functions
    union all
    select
        'view', relation, '',
        format('create or replace view %s%s as%s', relation, options, text),
        -- PostgreSQL 16 and newer write fewer names of tables before names of columns, and a restored union names its constants after
        -- their type. So both are left out, and the names of everything that the view reads are compared as well.
        concat_ws(' ', options, regexp_replace(regexp_replace(text, '\m\w+\.', '', 'g'), '::(\w+) AS \1', '::\1', 'g'), (
            select string_agg(distinct identity collate "C", ', ')
            from pg_catalog.pg_depend
            cross join pg_identify_object(refclassid, refobjid, refobjsubid)
            where classid = 'pg_catalog.pg_rewrite'::regclass and objid = pg_rewrite.oid and refobjid <> relations.oid
        )),
        pg_rewrite.ctid
    from relations
    join pg_catalog.pg_rewrite on ev_class = relations.oid and rulename = '_RETURN'
    cross join lateral (select ' with (' || array_to_string(reloptions, ', ') || ')') as given (options)
    cross join lateral (select pg_get_viewdef(relations.oid) offset 0) as shown (text) -- once: it takes half the time of all
)
select kind, relation, name, definition, md5(coalesce(compared, definition)) as fingerprint, version::text from objects;
