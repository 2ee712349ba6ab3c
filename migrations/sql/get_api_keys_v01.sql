-- A service's credentials as {key_name: value}: active ones, of its active environment (production where both
-- are active). In an adopted table a service may have all of them in one document, `keys`, in a row without a key_name;
-- ours win. Called by Edge Functions with the service role: rpc('get_api_keys').
create or replace function public.get_api_keys(service text)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
    document jsonb;
    keys jsonb;
    ids uuid[];
begin
    select to_jsonb(k) -> 'keys' into document
    from public.api_keys as k
    where k.service_name = get_api_keys.service and k.key_name is null and k.is_active;

    select jsonb_object_agg(c.key_name, c.value), array_agg(c.id)
    into keys, ids
    from montoit.read_credentials(get_api_keys.service) as c
    where c.is_active
      and c.value is not null
      and c.environment = (
          select max(k.environment) from public.api_keys as k
          where k.service_name = get_api_keys.service and k.key_name is not null and k.is_active
      );

    -- Once a minute, and never waiting for a row that somebody else holds.
    update public.api_keys set last_used_at = now()
    where id in (
        select k.id from public.api_keys as k
        where k.id = any (ids) and (k.last_used_at is null or k.last_used_at < now() - interval '1 minute')
        for no key update skip locked
    );
    return case when document is null or keys is null then coalesce(document, keys, '{}') else document || keys end;
end;
$$;
