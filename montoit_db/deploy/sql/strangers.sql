-- What belongs to somebody who is neither the role that we run as, nor a superuser, nor the database's owner, and whose code
-- would run with our rights: objects of our names, relations of the platform's that we read, functions of triggers on our
-- tables. `scope` says whom it stops: every command, every command but a rollback (which looks at none of it), an upgrade,
-- or an upgrade without -x keep-triggers=yes.
with trusted as (
    select oid from pg_catalog.pg_roles
    where rolsuper or rolname in (current_user, 'pg_database_owner')
       or oid = (select datdba from pg_catalog.pg_database where datname = current_database())
),
relations as (
    select
        pg_class.oid, relowner, format('%I.%I', nspname, relname) as name, nspname = 'montoit' as is_in_montoit,
        relname in (
            'feature_flags', 'feature_flag_history', 'feature_flag_overrides', 'api_keys',
            'payment_logs', 'sms_logs', 'whatsapp_logs', 'intouch_prices', 'intouch_payments_daily', 'intouch_sms_daily',
            'intouch_whatsapp_daily', 'intouch_costs', 'intouch_failure_rate'
        ) as has_our_name,
        case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
            when 'S' then 'sequence' when 'c' then 'type' when 'i' then 'index' when 'I' then 'index' else 'table' end as kind
    from pg_catalog.pg_class
    join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
    where nspname in ('montoit', 'public')
),
found as (
    select 'schema' as kind, 'montoit' as name, nspowner as owner, 'every command' as scope
    from pg_catalog.pg_namespace where nspname = 'montoit'
    union all
    select kind, name, relowner, case
        when is_in_montoit or name in ('public.feature_flags', 'public.feature_flag_history', 'public.api_keys')
            then 'every command'
        when has_our_name then 'every command but a rollback' else 'upgrade' end
    from relations
    where is_in_montoit and kind <> 'index' or has_our_name
       or name in ('public.profiles', 'public.user_roles', 'public.user_role_assignments')
    union all
    select 'routine', pg_proc.oid::regprocedure::text, proowner,
        case nspname when 'montoit' then 'every command' else 'upgrade' end
    from pg_catalog.pg_proc
    join pg_catalog.pg_namespace on pg_namespace.oid = pronamespace
    where proowner not in (select oid from trusted) and (
        nspname = 'montoit' or nspname = 'public'
        and proname in ('check_feature_flag', 'check_feature_flags', 'get_api_keys', 'log_api_usage')
    )
)
select
    format('%s %s, de %s', case kind
        when 'schema' then 'schéma' when 'view' then 'vue' when 'materialized view' then 'vue matérialisée'
        when 'foreign table' then 'table externe' when 'sequence' then 'séquence' when 'routine' then 'fonction'
        else kind
    end, name, pg_get_userbyid(owner)) as what,
    -- A table of the API's schema can hold the customers' rows: nobody is told to drop it.
    case when kind = 'table' and name like 'public.%' then format('alter table %s rename to …; ou, ', name)
        else format('drop %s %s; ou, ', kind, name) end
        || format('si vous lui faites confiance : alter %s %s owner to %I;', kind, name, current_user) as remedy,
    scope
from found
where owner not in (select oid from trusted)
union all
select
    format('droit de créer des objets dans le schéma montoit, de %s',
           case grantee when 0 then 'public' else pg_get_userbyid(grantee) end),
    format('revoke create on schema montoit from %s;', case grantee when 0 then 'public' else grantee::regrole::text end),
    'upgrade'
from pg_catalog.pg_namespace
cross join aclexplode(nspacl)
where nspname = 'montoit' and privilege_type = 'CREATE' and grantee <> nspowner
  and grantee not in (select oid from trusted)
union all
select
    format('déclencheur %s sur %s, dont la fonction %s est à %s', tgname, name, tgfoid::regprocedure,
           pg_get_userbyid(proowner)),
    format('drop trigger %I on %s; ou, si vous lui faites confiance : alter function %s owner to %I; '
           '(ou pour une fois : alembic -x keep-triggers=yes upgrade …)', tgname, name, tgfoid::regprocedure, current_user),
    'upgrade without keep-triggers'
from relations
join pg_catalog.pg_trigger on tgrelid = relations.oid
join pg_catalog.pg_proc on pg_proc.oid = tgfoid
where (is_in_montoit or has_our_name) and not tgisinternal
  and proowner not in (select oid from trusted)
  and not exists (
      select from pg_catalog.pg_depend
      where classid = 'pg_catalog.pg_proc'::regclass and objid = tgfoid and deptype = 'e'
  )
order by what
