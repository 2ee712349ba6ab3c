-- Locks all adopted tables, and drops the foreign keys by which the history goes with its flag, or a user cannot be deleted;
-- that also locks auth.users. Tables that others use all the time come last, to be locked for the shortest time. The
-- downgrade brings the keys back, `not valid` if a flag or a user was deleted meanwhile: rows that point there are kept.
select montoit.lock_tables(
    array['sms_logs', 'whatsapp_logs', 'api_keys', 'feature_flag_history', 'feature_flag_overrides', 'feature_flags'],
    $statement$
        select montoit.adopt(
            'tables', table_name, format('constraint %I', conname),
            format('alter table public.%I drop constraint %I', table_name, conname),
            format(
                'do $montoit_undo$ begin alter table public.%1$I add constraint %2$I %3$s;'
                ' exception when foreign_key_violation then'
                ' alter table public.%1$I add constraint %2$I %3$s not valid; end $montoit_undo$',
                table_name, conname, pg_get_constraintdef(pg_constraint.oid)
            ) || format('; comment on constraint %I on public.%I is %L', conname, table_name,
                        obj_description(pg_constraint.oid, 'pg_constraint')),
            case when confrelid = to_regclass('public.feature_flags')
                then 'l''historique survit désormais à la suppression d''un flag'
                else format('contrainte %s retirée : un utilisateur peut être supprimé, sa trace reste', conname)
            end
        )
        from (
            select table_name, pg_constraint.*
            from montoit.adopted_tables
            join pg_catalog.pg_constraint on conrelid = format('public.%I', table_name)::regclass
            where contype = 'f' and (
                table_name = 'feature_flag_history' and confrelid = to_regclass('public.feature_flags')
                or table_name like 'feature\_flag%' and confrelid = to_regclass('auth.users')
                    and confdeltype in ('a', 'r')
            )
            order by table_name, conname
        ) as pg_constraint
    $statement$
);
