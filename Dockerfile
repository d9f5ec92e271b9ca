# One image, two services (docker-compose.yml). Built from the hash lock only; runs as nobody special.
FROM python:3.11-slim AS build
WORKDIR /app
COPY requirements.txt requirements-dev.txt ./
COPY tools/install.py tools/install.py
RUN python tools/install.py --no-dev

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home --home-dir /home/trader trader
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY . .
RUN mkdir -p data models && chown trader:trader data models
USER trader
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
CMD ["python", "dashboard.py", "--host", "0.0.0.0"]
