-- A user's place in a flag's rollout, 0 to 9999: the first seven bytes of SHA-256 over `<flag>:<user>` (eight could be
-- negative as a bigint). The flag is in it, so that two flags at 50 % reach different halves of the users.
create or replace function montoit.bucket(flag_key text, user_id uuid)
returns integer
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
    return ('x' || encode(substr(sha256(convert_to(flag_key || ':' || user_id::text, 'UTF8')), 1, 7), 'hex'))
        ::bit(56)::bigint % 10000;
end;
$$;
