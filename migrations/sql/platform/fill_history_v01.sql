-- Gives an adopted history its flags' keys and its index, while no table is locked that others read: it may have hundreds
-- of thousands of rows.
do $$
begin
    if not exists (select from montoit.adopted_tables where table_name = 'feature_flag_history') then
        return;
    end if;
    -- Under the path of other sessions, as montoit.change_rows does: the operators are of exactly these types.
    if to_regclass('public.feature_flags') is null then
        set local search_path to default;
        update public.feature_flag_history
        set flag_key = coalesce(new_value ->> 'key', previous_value ->> 'key', 'unknown');
    else
        set local search_path to default;
        update public.feature_flag_history as history
        set flag_key = coalesce(
            (select key from public.feature_flags as f where f.id = history.feature_flag_id),
            history.new_value ->> 'key', history.previous_value ->> 'key', 'unknown'
        );
    end if;
    set constraints all immediate; -- a table with pending events cannot be altered
    set local search_path to '';
    create index if not exists idx_feature_flag_history_feature_flag_id_changed_at
        on public.feature_flag_history (feature_flag_id, changed_at);
    if exists (
        select from pg_catalog.pg_constraint
        where conrelid = 'public.feature_flag_history'::regclass and conname = 'feature_flag_history_action_check'
          and not convalidated
    ) then
        alter table public.feature_flag_history validate constraint feature_flag_history_action_check;
    end if;
end;
$$;
