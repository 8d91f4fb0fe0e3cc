import { defineConfig } from 'vite';

// The page is served by the appliance from its own address, so every path is relative to the root and nothing is fetched from elsewhere.
export default defineConfig({
  build: {
    target: 'es2022',
    // The policy of the page allows no data: scripts, and small files inlined would hide from the cache.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 300,
  },
  // For `npm run dev`: the page with reload on change, data from a running appliance.
  server: {
    proxy: {
      '/api': 'http://127.0.0.1:8080',
      '/ws': { target: 'ws://127.0.0.1:8080', ws: true },
    },
  },
});
