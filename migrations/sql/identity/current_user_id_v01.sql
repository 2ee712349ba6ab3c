-- The signed-in user; null if nobody signed in, or if the JWT's `sub` is not a uuid.
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
