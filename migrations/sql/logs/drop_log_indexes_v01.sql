-- Drops the logs' indexes, except those that an adopted table had already.
do $$
declare
    index_name text;
begin
    for index_name in
        select format('idx_%s_%s', log, column_name)
        from unnest(array['payment_logs', 'sms_logs', 'whatsapp_logs']) as log
        cross join unnest(array['user_id', 'created_at']) as column_name
        where not exists (
            select from montoit.adopted_tables as adopted
            where adopted.table_name = log
              and format('idx_%s_%s', log, column_name) = any (adopted.indexes)
        )
    loop
        execute format('drop index if exists public.%I', index_name);
    end loop;
end;
$$;
