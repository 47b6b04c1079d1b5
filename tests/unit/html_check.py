#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reports that `unit_html --write` makes must be HTML, XML, complete in themselves, and harmless.

    html_check.py UNIT_HTML

Parsed by html.parser and by expat: tags balanced, ids unique, links lead somewhere, pictures are whole PNG files
inside the page and have alternative texts, nothing is fetched, no attribute runs code, no element that a text
could have brought in. First checks itself on planted mistakes.
"""
import base64
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
import zlib
from html.parser import HTMLParser

VOID = {'meta', 'img', 'input', 'br', 'hr', 'link'}
KNOWN = set('html head meta title style body div header h1 h2 h3 p nav a main section dl dt dd b span small table '
            'caption thead tbody tr th td pre figure figcaption img input label output footer script '
            'svg g text tspan path circle'.split())
ADDRESSES = {'http://www.w3.org/1999/xhtml', 'http://www.w3.org/2000/svg'}


def png_problem(data):
    if data[:8] != b'\x89PNG\r\n\x1a\n':
        return 'no PNG'
    at, kinds, pixels = 8, [], b''
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], 'big')
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + size]
        if zlib.crc32(kind + body) != int.from_bytes(data[at + 8 + size:at + 12 + size], 'big'):
            return 'a PNG chunk is damaged'
        kinds.append(kind)
        pixels += body if kind == b'IDAT' else b''
        if kind == b'IHDR':
            width, height = int.from_bytes(body[:4], 'big'), int.from_bytes(body[4:8], 'big')
            channels = {0: 1, 2: 3, 6: 4}[body[9]]
        at += 12 + size
    if kinds[0] != b'IHDR' or kinds[-1] != b'IEND':
        return 'a PNG is cut'
    if len(zlib.decompress(pixels)) != height * (width * channels + 1):
        return 'a PNG has too few pixels'
    return None


class Page(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.errors, self.open, self.ids, self.links, self.fors = [], [], [], [], []
        self.texts, self.counts, self.pictures = [], {}, 0

    def error(self, text):
        self.errors.append(f'line {self.getpos()[0]}: {text}')

    def handle_starttag(self, tag, attrs):
        self.start(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.start(tag, attrs)
        if tag not in VOID and 'svg' not in self.open:
            self.error(f'<{tag}/> is not closed in HTML')

    def start(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in KNOWN:
            self.error(f'<{tag}> is not one of ours')
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.error(f'<{tag}> repeats an attribute')
        a = dict(attrs)
        for name, value in attrs:
            if name.startswith('on') or 'javascript:' in (value or '').lower():
                self.error(f'<{tag} {name}> runs code')
            if name in ('srcset', 'poster', 'action', 'background', 'xlink:href'):
                self.error(f'<{tag} {name}> fetches')
        if 'id' in a:
            self.ids.append(a['id'])
        if 'for' in a:
            self.fors.append(a['for'])
        if 'href' in a:
            if a['href'].startswith('#') and tag == 'a':
                self.links.append(a['href'][1:])
            else:
                self.error(f'<{tag}> leads out: {a["href"]}')
        if tag == 'svg' and not a.get('aria-label'):
            self.error('<svg> has no label')
        if tag == 'img' and 'alt' not in a:
            self.error('<img> has no alternative text')
        if tag == 'img' and a.get('class', '').find('layer') < 0 and not a.get('alt'):
            self.error('<img> has an empty alternative text')
        if 'src' in a:
            head = 'data:image/png;base64,'
            if tag != 'img' or not a['src'].startswith(head):
                self.error(f'<{tag} src> fetches')
                return
            problem = png_problem(base64.b64decode(a['src'][len(head):], validate=True))
            self.pictures += 1
            if problem:
                self.error(problem)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.error(f'</{tag}> closes {self.open[-1:]}')
        else:
            self.open.pop()

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] == 'style' and re.search(r'url\(|@import|expression', data):
            self.error('the style fetches')
        if self.open and self.open[-1] == 'script' and re.search(r'[<&]|fetch|XMLHttp|import|eval|innerHTML', data):
            self.error('the script is not as simple as it should be')

    def handle_comment(self, data):
        self.error('a comment')

    def unknown_decl(self, data):
        self.error('a marked section')


def check(text):
    page = Page()
    page.feed(text)
    page.close()
    if page.open:
        page.error(f'never closed: {page.open}')
    for name in {i for i in page.ids if page.ids.count(i) > 1}:
        page.error(f'two elements have the id {name}')
    for name in page.links + page.fors:
        if name not in page.ids:
            page.error(f'nothing has the id {name}')
    for tag, most in (('script', 1), ('style', 1), ('h1', 1), ('main', 1), ('header', 1)):
        if page.counts.get(tag) != most:
            page.error(f'{page.counts.get(tag)} of <{tag}>')
    if not text.startswith('<!DOCTYPE html>\n<html lang="en"'):
        page.error('does not begin as HTML 5')
    if "default-src 'none'" not in text or '<meta charset="utf-8"/>' not in text:
        page.error('lacks its policy or character set')
    for address in re.findall(r'(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^"\'\s<]*', text):
        if address not in ADDRESSES:
            page.error(f'names the address {address}')
    try:
        xml.etree.ElementTree.fromstring(text.encode('utf-8'))
    except xml.etree.ElementTree.ParseError as e:
        page.error(f'no XML: {e}')
    return page


GOOD = ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><meta content="default-src \'none\'"/>'
        '<style>b{}</style></head><body><header><h1 id="a">x</h1></header><main><a href="#a">y</a></main>@'
        '<script>1;</script></body></html>')


def self_check():
    planted = [     # in place of @, part of the error or None
        ('', None), ('<img alt="" src="x.png"/>', 'fetches'), ('<img class="layer" src="data:,"/>', 'alternative'),
        ('<b>', 'closes'), ('</p>', 'closes'), ('<p id="a"></p>', 'two elements'),
        ('<a href="#b">x</a>', 'nothing has'), ('<a href="other.html">x</a>', 'leads out'),
        ('<p onclick="x()"></p>', 'runs code'), ('<iframe></iframe>', 'not one'),
        ('<script>2;</script>', '2 of <script>'), ('<!-- x -->', 'comment'), ('&bogus;', 'no XML'),
        ('\x01', 'no XML'), ('<p>https://example.org/x</p>', 'names the address'),
        ('<svg></svg>', 'no label'), ('<div/>', 'not closed'),
        ('<img alt="x" src="data:image/png;base64,iVBORw0KGgo="/>', ''), ('<p a="1" a="2"></p>', 'repeats'),
    ]
    for text, expected in planted:
        try:
            errors = check(GOOD.replace('@', text)).errors
        except (IndexError, zlib.error):
            errors = ['damaged picture']
        if (not errors) != (expected is None) or (expected and not any(expected in e for e in errors)):
            sys.exit(f'self-check: {text!r} gave {errors}')


# texts of tests/unit/html.c as a reader must see them
SHOWN = ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "' onload='alert(1)", '&amp;&lt;&#0;&bogus',
         ']]><!-- --><![CDATA[', '</title></style></svg></table>', '${x} %s %n `', '\u00e9\u4e2d\U0001f600',
         '<?xml version="1.0"?>', '<!DOCTYPE x>', 'a]]>b</pre></script>']


def main():
    self_check()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], '--write', folder], check=True)
        for name, pictures in (('full.html', 22), ('anonymous.html', 22), ('noimages.html', 0),
                               ('minimal.html', 0)):
            with open(os.path.join(folder, name), encoding='utf-8', newline='') as f:
                page = check(f.read())
            if page.pictures != pictures:
                page.errors.append(f'{page.pictures} pictures')
            if name == 'full.html':
                page.errors += [f'not shown: {t}' for t in SHOWN if t not in page.texts]
            for e in page.errors:
                print(f'{name}: {e}')
                failed = True
    sys.exit(failed)


if __name__ == '__main__':
    main()
