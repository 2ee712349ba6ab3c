-- Drops what must not run or be checked while rows are changed: triggers that the package's replace, and the constraint on
-- the history's actions, which lacks 'deleted'. Other triggers stay, and are named.
do $$
declare
    part record;
begin
    for part in
        select table_name, format('trigger %I', tgname) as object,
            format('drop trigger %I on public.%I', tgname, table_name) as redo,
            pg_get_triggerdef(pg_trigger.oid) || case tgenabled
                when 'D' then format('; alter table public.%I disable trigger %I', table_name, tgname)
                when 'A' then format('; alter table public.%I enable always trigger %I', table_name, tgname)
                when 'R' then format('; alter table public.%I enable replica trigger %I', table_name, tgname)
                else ''
            end || format('; comment on trigger %I on public.%I is %L', tgname, table_name,
                          obj_description(pg_trigger.oid, 'pg_trigger')) as undo,
            format('déclencheur %s, remplacé', tgname) as told
        from montoit.adopted_tables
        join pg_catalog.pg_trigger on tgrelid = format('public.%I', table_name)::regclass
        join pg_catalog.pg_proc on pg_proc.oid = tgfoid
        where not tgisinternal and (
            table_name in ('feature_flags', 'whatsapp_logs') and prosrc ~* 'feature_flag_history|new\.updated_at'
            or tgname in ('touch_updated_at', 'record_flag_change')
        )
        union all
        select table_name, format('trigger %I', tgname), 'select', 'select',
            format('déclencheur %s gardé%s (fonction %s, de %s)', tgname,
                   case table_name when 'api_keys' then ' : il verra passer les identifiants InTouch' end,
                   tgfoid::regprocedure, pg_get_userbyid(proowner))
        from montoit.adopted_tables
        join pg_catalog.pg_trigger on tgrelid = format('public.%I', table_name)::regclass
        join pg_catalog.pg_proc on pg_proc.oid = tgfoid
        where not tgisinternal and tgname not in ('touch_updated_at', 'record_flag_change') and not (
            table_name in ('feature_flags', 'whatsapp_logs') and prosrc ~* 'feature_flag_history|new\.updated_at'
        )
        union all
        select table_name, 'replaced constraint',
            format('alter table public.%I drop constraint %I', table_name, conname),
            format('alter table public.%I add constraint %I %s', table_name, conname,
                   pg_get_constraintdef(pg_constraint.oid))
                || format('; comment on constraint %I on public.%I is %L', conname, table_name,
                          obj_description(pg_constraint.oid, 'pg_constraint')),
            null
        from montoit.adopted_tables
        join pg_catalog.pg_constraint on conrelid = format('public.%I', table_name)::regclass
        join pg_catalog.pg_attribute on attrelid = conrelid and attname = 'action' and conkey = array[attnum]
        where table_name = 'feature_flag_history' and contype = 'c'
          and current_setting('montoit.checks') like '%feature_flag_history_action_check%'
        order by table_name, object
    loop
        perform montoit.adopt('tables', part.table_name, part.object, part.redo, part.undo, part.told);
    end loop;
end;
$$;
