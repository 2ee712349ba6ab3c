-- Whether a flag is on for a user; null asks for the caller. Called over the API: rpc('check_feature_flag').
create or replace function public.check_feature_flag(flag_key text, user_id uuid default null)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return coalesce((montoit.check_flags(user_id, coalesce(flag_key, '')) -> flag_key)::boolean, false);
end;
$$;
