"""Python's own arithmetic: loops over integers and floats, lists as matrices, big integers. Argument: rounds."""
import sys


def queens(n):
    def place(row, columns, rising, falling):
        if row == n:
            return 1
        found = 0
        for column in range(n):
            if columns >> column & 1 or rising >> (row + column) & 1 or falling >> (row - column + n) & 1:
                continue
            found += place(row + 1, columns | 1 << column, rising | 1 << row + column, falling | 1 << row - column + n)
        return found

    return place(0, 0, 0, 0)


def spectral_norm(n):
    def product(vector, transposed):
        result = []
        for i in range(n):
            total = 0.0
            for j in range(n):
                a, b = (j, i) if transposed else (i, j)
                total += vector[j] / ((a + b) * (a + b + 1) // 2 + a + 1)
            result.append(total)
        return result

    u = [1.0] * n
    for _ in range(3):
        v = product(product(u, False), True)
        u = product(product(v, False), True)
    return (sum(a * b for a, b in zip(u, v)) / sum(b * b for b in v)) ** 0.5


def digits_of_pi(count):
    q, r, t, k, n, l = 1, 0, 1, 1, 3, 3
    digits = []
    while len(digits) < count:
        if 4 * q + r - t < n * t:
            digits.append(str(n))
            q, r, n = 10 * q, 10 * (r - n * t), 10 * (3 * q + r) // t - 10 * n
        else:
            q, r, t, k, n, l = q * k, (2 * q + r) * l, t * l, k + 1, (q * 7 * k + 2 + r * l) // (t * l), l + 2
    return "".join(digits)


for i in range(int(sys.argv[1])):
    print(queens(6), f"{spectral_norm(20):.9f}", digits_of_pi(150 + i % 2)[-9:])
