-- A service's active credentials as {key_name: value}, of its active environment; null if it has none. With both active,
-- InTouch has none, since nobody would know whether its payments are real; another service has the sandbox's. An adopted
-- table also has the platform's rows: one for each service, without a key_name, with all of its credentials in the column
-- `keys`. Rows with a key_name win over it; if all of these are inactive, as after a rollback, the service has no
-- credentials.
-- Called by Edge Functions with the service role: rpc('get_api_keys').
create or replace function public.get_api_keys(service text)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
    document jsonb;
    keys jsonb;
    is_ours boolean;
    active_environment text;
    environments integer;
begin
    select
        bool_or(k.key_name is not null),
        max(k.environment) filter (where k.key_name is not null and k.is_active),
        count(distinct k.environment) filter (where k.key_name is not null and k.is_active)
    into is_ours, active_environment, environments
    from public.api_keys as k where k.service_name = get_api_keys.service;
    if is_ours and (active_environment is null or environments > 1 and get_api_keys.service = 'intouch') then
        return null;
    end if;

    select to_jsonb(k) -> 'keys' into document
    from public.api_keys as k
    where k.service_name = get_api_keys.service and k.key_name is null and k.is_active;

    if is_ours then
        select jsonb_object_agg(c.key_name, c.value) into keys
        from montoit.read_credentials(get_api_keys.service) as c
        where c.is_active and c.value is not null and c.environment = active_environment;
    end if;

    -- At most once a minute, without waiting for a row that somebody has locked. A failure is ignored: the credentials can
    -- also be read on a read-only server, or while a trigger of somebody else fails.
    if exists (
        select from public.api_keys as k
        where k.service_name = get_api_keys.service and k.is_active
          and (k.key_name is null or k.environment = active_environment)
          and (k.last_used_at is null or k.last_used_at < now() - interval '1 minute')
    ) then
        begin
            perform montoit.change_rows(format(
                'update public.api_keys set last_used_at = now() where id = any (%L::uuid[])',
                array(
                    select k.id from public.api_keys as k
                    where k.service_name = get_api_keys.service and k.is_active
                      and (k.key_name is null or k.environment = active_environment)
                      and (k.last_used_at is null or k.last_used_at < now() - interval '1 minute')
                    for no key update skip locked
                )
            ));
        exception
            when others then
                null;
        end;
    end if;
    return case when document is null or keys is null then coalesce(document, keys) else document || keys end;
end;
$$;
