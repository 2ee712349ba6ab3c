-- Why a change is made, for the trail and the flags' history: the setting montoit.reason (set_config, local), or over the
-- API the header x-montoit-reason. On one line, without characters that a terminal would obey (controls, direction marks,
-- invisible ones), 500 characters at most; null if nothing is left of it.
create or replace function montoit.order_reason()
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
    reason text := nullif(current_setting('montoit.reason', true), '');
begin
    if reason is null then
        begin
            reason := nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-montoit-reason';
        exception
            when data_exception then
                null; -- headers that are not JSON give no reason
        end;
    end if;
    reason := left(reason, 4000); -- before the expression below, whose time grows with the text
    return nullif(left(btrim(regexp_replace(
        reason,
        '[\s\u0001-\u001f\u007f-\u00a0\u00ad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f'
        '\ufeff\ufff9-\ufffb\U000e0001-\U000e007f]+',
        ' ', 'g'
    )), 500), '');
end;
$$;
