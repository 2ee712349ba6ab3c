-- Raises MT001 while a table of ours holds any row other than an unmodified seed, and names each with its
-- count. Looks for one row first; counts only to refuse. Tables that do not exist hold nothing.
create or replace function montoit.refuse_to_lose_rows()
returns void
language plpgsql
set search_path = ''
as $$
declare
    table_name text;
    rows_of text;
    found boolean;
    total bigint;
    losses text[] := '{}';
begin
    foreach table_name in array array[
        'feature_flags', 'feature_flag_history', 'feature_flag_overrides', 'api_keys',
        'payment_logs', 'sms_logs', 'whatsapp_logs'
    ] loop
        continue when to_regclass('public.' || table_name) is null;
        rows_of := format('from public.%I as t', table_name);
        if table_name = 'feature_flags' then
            rows_of := rows_of || ' where not exists (
                select from montoit.feature_flag_seed as s
                where (s.key, s.category, s.name, s.is_enabled, s.requires_credentials,
                       s.credentials_status, s.rollout_percentage)
                    = (t.key, t.category, t.name, t.is_enabled, t.requires_credentials,
                       t.credentials_status, t.rollout_percentage)
                  and t.description is null and t.allowed_roles = ''{}'' and t.metadata = ''{}''
            )';
        end if;
        execute 'select exists (select ' || rows_of || ')' into found;
        if found then
            execute 'select count(*) ' || rows_of into total;
            losses := losses || format('  %s : %s ligne%s', table_name, total, case when total > 1 then 's' end);
        end if;
    end loop;
    if losses <> '{}' then
        raise exception using
            errcode = 'MT001',
            message = array_to_string(losses, e'\n'),
            hint = 'alembic -x allow-data-loss=yes downgrade …';
    end if;
end;
$$;
