-- The signed-in user; null for nobody, and a `sub` that is no uuid is nobody.
create or replace function montoit.current_user_id()
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
    return (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
exception
    when data_exception then
        return null;
end;
$$;
