-- Who may ask for whom: decided here, since the function sees every flag and override. A role that nobody knows asks as a
-- signed-in user does. `me` repeats the expression of montoit.current_user_id(): calling it would take a tenth of the time
-- of a check; and unusual callers alone are looked up, for the same reason.
if caller not in ('authenticated', 'service_role') then
    if caller = 'anon' then
        asked_user := null;
    elsif not montoit.is_trusted(caller) then
        caller := 'authenticated';
    end if;
end if;
if caller = 'authenticated' then
    begin
        me := (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
    exception
        when data_exception then
            null;
    end;
    if asked_user is distinct from me then
        if asked_user is null then
            asked_user := me;
        elsif not montoit.is_admin() then
            raise exception using
                errcode = 'insufficient_privilege',
                message = 'feature flags of another user';
        end if;
    end if;
end if;
