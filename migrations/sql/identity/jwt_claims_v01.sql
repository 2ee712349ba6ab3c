-- The caller's JWT as PostgREST passes it on; null if it is unset, empty or not a JSON object.
create or replace function montoit.jwt_claims()
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
    claims jsonb;
begin
    claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    return case when jsonb_typeof(claims) = 'object' then claims end;
exception
    when data_exception then
        return null;
end;
$$;
