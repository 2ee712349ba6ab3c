-- Takes the values of credentials by COPY, whose data no log and no statistic shows, and keeps each in the transaction's
-- setting montoit.<key_name>. Nothing is written to a table. The trigger assigns (:=) instead of running a query: a query
-- has a plan, and a plan that is logged (auto_explain) shows its constants.
create or replace view montoit.given_credentials (key_name, value) with (security_invoker = true) as
select null::text, null::text where false;

revoke all on table montoit.given_credentials from public, anon, authenticated, service_role;

create or replace function montoit.take_credential()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    kept text;
begin
    kept := set_config('montoit.' || new.key_name, new.value, true);
    return null;
end;
$$;

create or replace trigger take_credential
    instead of insert on montoit.given_credentials
    for each row execute function montoit.take_credential();
