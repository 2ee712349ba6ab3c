-- Trigger: writes a line of the trail for each credential that is added, changed or removed: its names and environment, whether
-- it is active and where its value is, and that the value changed; never the value. Values are compared in expressions that
-- need no query: what a query gets can be logged.
create or replace function montoit.record_credential()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    named text := coalesce(new.service_name, old.service_name) || coalesce('.' || coalesce(new.key_name, old.key_name), '');
    before jsonb;
    after jsonb;
begin
    if tg_op <> 'INSERT' then
        before := montoit.described_credential(to_jsonb(old));
    end if;
    if tg_op <> 'DELETE' then
        after := montoit.described_credential(to_jsonb(new));
    end if;
    if tg_op = 'UPDATE' then
        if to_jsonb(new) -> 'keys' is distinct from to_jsonb(old) -> 'keys'
            or new.key_value <> old.key_value -- a value that moves to the Vault or back shows as its place
        then
            after := after || '{"value": "changed"}';
        end if;
        if before = after then
            return null;
        end if;
    end if;
    insert into montoit.trail (subject, key, before, after) values ('credential', named, before, after);
    return null;
end;
$$;

-- What the trail keeps of a row of api_keys. The platform's rows have several values in `keys`: their names are kept.
create or replace function montoit.described_credential(credential jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
    return jsonb_strip_nulls(jsonb_build_object(
        'environment', credential -> 'environment',
        'is_active', credential -> 'is_active',
        'endpoint', credential -> 'endpoint',
        'store', case when credential ->> 'secret_id' is not null then 'vault'
            when credential ->> 'key_value' is not null then 'table' end,
        'names', nullif(jsonb_path_query_array(credential -> 'keys', '$.keyvalue().key', '{}', true), '[]')
    ));
end;
$$;
