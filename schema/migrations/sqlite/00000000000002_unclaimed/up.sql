-- A device asks for all that waits for it when it puts a prekey.

CREATE INDEX wraps_of_device ON wraps (device_id);
