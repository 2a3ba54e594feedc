import { defineConfig } from 'vitest/config';

export const config = defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 30_000,
  },
});

// vitest reads its configuration from the default export; nowhere else do we use one.
export default config;
