-- What every function needs.

-- Whether the generation of this store is the one that the caller believes in.
-- gen_key: the key that holds it; believed: its 16 bytes.
local function is_gen(gen_key, believed)
  return redis.call('HGET', gen_key, 'gen') == believed
end

redis.register_function{
  function_name = 'hushwire1_is_gen',
  callback = function(keys, args)
    return is_gen(keys[1], args[1]) and 1 or 0
  end,
  flags = { 'no-writes' },
}
