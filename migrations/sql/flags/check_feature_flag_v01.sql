-- Whether a flag is on for a user; null asks for the caller. Called over the API: rpc('check_feature_flag').
create or replace function public.check_feature_flag(flag_key text, user_id uuid default null)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return montoit.check_flag(user_id, flag_key);
end;
$$;
