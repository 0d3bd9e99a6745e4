DROP INDEX wraps_of_device;
