-- Loops over numbers, the work LuaJIT compiles. For Lua 5.4 and LuaJIT alike. Argument: rounds.
local function mandelbrot(size)
  local inside = 0
  for row = 0, size - 1 do
    for column = 0, size - 1 do
      local cr, ci, x, y, steps = 3 * column / size - 2, 2 * row / size - 1, 0.0, 0.0, 0
      while steps < 50 and x * x + y * y < 4 do
        x, y = x * x - y * y + cr, 2 * x * y + ci
        steps = steps + 1
      end
      inside = inside + steps
    end
  end
  return inside
end

local function fannkuch(n)
  local p, q, count, sign, flips_most, sum = {}, {}, {}, 1, 0, 0
  for i = 1, n do p[i], count[i] = i, i end
  while true do
    if p[1] ~= 1 then
      for i = 1, n do q[i] = p[i] end
      local flips = 0
      while q[1] ~= 1 do
        local first, i, j = q[1], 1, q[1]
        while i < j do
          q[i], q[j] = q[j], q[i]
          i, j = i + 1, j - 1
        end
        flips = flips + 1
        if first == 0 then break end
      end
      sum = sum + sign * flips
      if flips > flips_most then flips_most = flips end
    end
    if sign == 1 then
      p[1], p[2] = p[2], p[1]
      sign = -1
    else
      p[2], p[3] = p[3], p[2]
      sign = 1
      for i = 3, n do
        if count[i] ~= 1 then
          count[i] = count[i] - 1
          break
        end
        if i == n then return sum, flips_most end
        count[i] = i
        local first = p[1]
        for j = 1, i do p[j] = p[j + 1] end
        p[i + 1] = first
      end
    end
  end
end

local function walk(n)
  local seed, x, y = 42, 0, 0
  for _ = 1, n do
    seed = (seed * 16807) % 2147483647
    local way = seed % 4
    if way == 0 then x = x + 1 elseif way == 1 then x = x - 1 elseif way == 2 then y = y + 1 else y = y - 1 end
  end
  return x, y
end

for _ = 1, tonumber(arg[1]) do
  local sum, flips = fannkuch(7)
  local x, y = walk(100000)
  print(string.format("%d %d %d %d %d", mandelbrot(64), sum, flips, x, y))
end
