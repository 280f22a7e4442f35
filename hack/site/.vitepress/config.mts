// The site of docs/: one page for each Markdown file, its navigation from the folders. What is not under docs/ is linked to the repository.
import { readdirSync, readFileSync, existsSync } from 'node:fs'
import { dirname, join, posix, resolve } from 'node:path'
import { defineConfig } from 'vitepress'

const docs = resolve(import.meta.dirname, '../pages') // a copy of docs/, from which the site's packages are found
const repository = 'https://github.com/lethe-dev/lethe/blob/main/'

const title = (file: string) => readFileSync(file, 'utf8').match(/^# (.*)$/m)?.[1].replace(/`/g, '') ?? file

// The pages of a folder by their titles; README.md is the folder's own page.
function pages(folder: string) {
  if (!existsSync(join(docs, folder))) return []
  const names = readdirSync(join(docs, folder), { withFileTypes: true })
  const items = names.filter(n => n.isFile() && n.name.endsWith('.md') && n.name !== 'README.md')
    .map(n => ({ text: title(join(docs, folder, n.name)), link: '/' + posix.join(folder, n.name.replace(/\.md$/, '')) }))
  const folders = names.filter(n => n.isDirectory() && existsSync(join(docs, folder, n.name, 'README.md')))
    .map(n => ({ text: title(join(docs, folder, n.name, 'README.md')), link: '/' + posix.join(folder, n.name) + '/', collapsed: true, items: pages(posix.join(folder, n.name)) }))
  return [...items, ...folders].sort((a, b) => a.text.localeCompare(b.text))
}

const first = ['quick-start', 'concepts', 'demo', 'faq', 'comparison'].filter(n => existsSync(join(docs, n + '.md')))
const rest = pages('').filter(p => !('items' in p) && !first.includes(p.link.slice(1)))

export default defineConfig({
  title: 'Lethe',
  description: 'A Kubernetes operator that erases personal data and proves it',
  srcDir: 'pages',
  outDir: '../../dist/site',
  cacheDir: '../../dist/site-cache',
  cleanUrls: true,
  rewrites: id => id.replace(/(^|\/)README\.md$/, '$1index.md'),
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [{ text: 'Quick start', link: '/quick-start' }, { text: 'API', link: '/reference/api' }, { text: 'Security', link: '/security' }, { text: 'Source', link: 'https://github.com/lethe-dev/lethe' }],
    sidebar: [
      { text: 'Start', items: first.map(n => ({ text: title(join(docs, n + '.md')), link: '/' + n })) },
      { text: 'How to', items: pages('how-to') },
      { text: 'Runbooks', collapsed: true, items: pages('runbooks') },
      { text: 'Kinds', items: pages('kinds') },
      { text: 'Reference', items: pages('reference') },
      { text: 'Running it and how it works', items: rest },
      { text: 'Design notes', collapsed: true, items: pages('design') },
    ].filter(s => s.items.length > 0),
  },
  markdown: {
    config(md) {
      // Braces are text here, never an expression.
      const text = md.renderer.rules.text!
      md.renderer.rules.text = (...args) => text(...args).replace(/\{\{/g, '&#123;&#123;')
      // A placeholder such as <name> is no element.
      for (const rule of ['html_inline', 'html_block']) {
        md.renderer.rules[rule] = (tokens, i) => /^<\/?(a|br|details|img|kbd|p|sub|summary|sup)\b|^<!--/i.test(tokens[i].content)
          ? tokens[i].content : md.utils.escapeHtml(tokens[i].content)
      }
      md.core.ruler.after('inline', 'outside', state => {
        const page = (state.env as { relativePath?: string, path?: string }).path ?? ''
        for (const block of state.tokens) for (const token of block.children ?? []) {
          const href = token.attrGet('href')
          if (token.type !== 'link_open' || !href || /^([a-z]+:|#|\/)/.test(href)) continue
          const target = resolve(dirname(page), href.split('#')[0])
          if (!target.startsWith(docs + '/') || !/\.md$/.test(target)) {
            const root = resolve(docs, '..')
            if (target.startsWith(root)) token.attrSet('href', repository + target.slice(root.length + 1))
          }
        }
      })
    },
  },
})
