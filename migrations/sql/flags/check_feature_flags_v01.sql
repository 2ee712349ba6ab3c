-- The answers of all flags for a user, {key: boolean}; null asks for the caller. rpc('check_feature_flags').
create or replace function public.check_feature_flags(user_id uuid default null)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
    return montoit.check_flags(user_id);
end;
$$;
