-- The answers of all flags for one user: {key: boolean}.
create or replace function montoit.check_flags(asked_user uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    caller text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
    me uuid;
begin
    -- include flags/who_asks
    return (
        select coalesce(jsonb_object_agg(key, answer), '{}')
        from (
            -- include flags/flag_answers
        ) as answers
    );
end;
$$;
