-- Trigger: says who writes a line of the trail, when and why; what the writer gives for these columns does not count.
create or replace function montoit.stamp_trail()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.at := clock_timestamp();
    new.jwt_user := montoit.current_user_id();
    new.role := montoit.caller_role();
    new.login_role := session_user;
    new.reason := montoit.order_reason();
    return new;
end;
$$;
